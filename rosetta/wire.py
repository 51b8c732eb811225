"""HTTP answers to results and errors; what may be tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import httpx
import msgspec

from rosetta.effects import Compute, Operation, Pause, Request, Together
from rosetta.errors import RosettaError, Unavailable, from_body

T = TypeVar("T")

RETRY_DELAYS_S = (0.2, 1.0)  # before the second and the third try
_TRY_AGAIN_STATUS = frozenset({502, 503, 504})


def send(request: Request) -> Operation[httpx.Response]:
    """The successful answer to a request, tried again where that is safe.

    Raises:
        RosettaError: the error that the service answered, or `Unavailable` when it did not answer.
    """
    outcome: httpx.Response | httpx.TransportError
    for delay in (*RETRY_DELAYS_S, None):
        try:
            outcome = cast(httpx.Response, (yield request))
        except httpx.TransportError as error:
            outcome = error
        if delay is None or not _may_try_again(request, outcome):
            break
        yield Pause(delay)
    if isinstance(outcome, httpx.TransportError):
        raise unreachable(outcome) from outcome
    raise_for_error(outcome)
    return outcome


def together(operations: Sequence[Operation[T]]) -> Operation[list[T | RosettaError]]:
    """What several operations return, in their order; their errors are values among them."""
    return cast("list[T | RosettaError]", (yield Together(operations)))


def compute(function: Callable[[], T]) -> Operation[T]:
    """What a blocking function returns."""
    return cast(T, (yield Compute(function)))


def _may_try_again(request: Request, outcome: httpx.Response | httpx.TransportError) -> bool:
    if not request.repeatable:
        return False
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in _TRY_AGAIN_STATUS
    # Nobody listening, or too slow: at once or after another wait it is the same.
    return not isinstance(outcome, httpx.ConnectError | httpx.TimeoutException | httpx.UnsupportedProtocol)


def unreachable(error: httpx.TransportError) -> Unavailable:
    """The error, with its mend, that a failure below HTTP stands for."""
    service = _origin(error.request)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        message = f"no service answers at {service}: start it with `rosetta up`, or set ROSETTA_URL"
    elif isinstance(error, httpx.TimeoutException):
        seconds = error.request.extensions.get("timeout", {}).get("read")
        within = f" within {seconds:g} s" if seconds else " in time"
        message = f"{service} did not answer{within}: see `rosetta doctor`, or allow more (Client(timeout=...))"
    else:
        reason = str(error) or type(error).__name__
        message = f"the connection to {service} broke ({reason}): try again, or see `rosetta doctor`"
    return Unavailable(message, url=service)


def _origin(request: httpx.Request) -> str:
    return str(request.url.copy_with(path="/", query=None)).rstrip("/")


def raise_for_error(response: httpx.Response) -> None:
    """Return when the answer is a success.

    Raises:
        RosettaError: the error that the answer stands for.
    """
    if response.is_success:
        return
    service = _origin(response.request)
    if response.is_redirect:
        target = response.headers.get("location", "elsewhere")
        raise Unavailable(f"{service} redirects to {target}: set ROSETTA_URL to the service itself", url=service)
    if error := _error_in(response):
        raise error
    answered = f"{service} answered {response.status_code} {response.reason_phrase}"
    if response.status_code >= 500:
        raise Unavailable(f"{answered}: see `rosetta doctor`", url=service)
    raise RosettaError(
        f"{answered} to {response.request.method} {response.request.url.path}, as no Rosetta service of this "
        "version does: check ROSETTA_URL",
        url=service,
    )


class _ErrorBody(msgspec.Struct):
    code: str
    message: str
    details: dict[str, Any] | None = None
    request_id: str | None = None


class _ErrorEnvelope(msgspec.Struct):
    error: _ErrorBody


def _error_in(response: httpx.Response) -> RosettaError | None:
    try:
        body = msgspec.json.decode(response.content, type=_ErrorEnvelope).error
    except msgspec.MsgspecError:
        return None
    details = {key: value for key, value in (body.details or {}).items() if key not in {"self", "message"}}
    if response.status_code >= 500 and body.request_id:  # the service's log says more under this number
        details.setdefault("request_id", body.request_id)
    return from_body(body.code, body.message, details)


def decode(response: httpx.Response, kind: type[T]) -> T:
    """The typed result in an answer; fields that this client does not know are ignored.

    Raises:
        RosettaError: when the answer is not of that type.
    """
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.MsgspecError as error:
        raise RosettaError(
            f"{response.request.url} answered something that this client does not understand ({error}): "
            "use a client of the service's version, or check ROSETTA_URL"
        ) from error
