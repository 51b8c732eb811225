"""What an operation asks of the outside: said once, carried out by a blocking or an asynchronous transport.

An operation is a generator. It yields effects, is sent what came of them (or has their error thrown in), and
returns a result:

    def get_model(name: str) -> Operation[Model]:
        return decode((yield from send(Request("GET", f"/v1/models/{name}"))), Model)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One HTTP request. Comes back as an answer of any status; a failure below HTTP is thrown in.

    Attributes:
        path: below the service's address, quoted.
        params: of the query; those that are None are left out.
        body: bytes as they are; all else is encoded as JSON.
        file: streamed as the body.
        on_sent: called with the number of bytes of each piece of the file.
        repeatable: sending it twice does what sending it once does, so it may be tried again.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    file: Path | None = None
    on_sent: Callable[[int], object] | None = None
    repeatable: bool = True


@dataclass(frozen=True)
class Together:
    """Several operations, a few at a time. Comes back as a list in their order, with errors as values."""

    operations: Sequence[Operation[Any]]


@dataclass(frozen=True)
class Compute:
    """Local work that blocks, such as hashing files."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Pause:
    """Some seconds of nothing."""

    seconds: float


@dataclass(frozen=True)
class Listen:
    """Server-sent events, until they end, `on_event(data)` returns True, or silence lasts too long."""

    path: str
    on_event: Callable[[str], bool]
    silence_s: float


@dataclass(frozen=True)
class Download:
    """An answer of any length, written to a file piece by piece.

    Attributes:
        on_received: called with the number of bytes of each piece.
    """

    path: str
    params: Mapping[str, Any]
    target: Path
    on_received: Callable[[int], object]


Effect: TypeAlias = Request | Together | Compute | Pause | Listen | Download
Operation: TypeAlias = Generator[Effect, Any, T]
