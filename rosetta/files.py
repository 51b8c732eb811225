"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rosetta.errors import InvalidRequest


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A file beside the path, gone afterwards unless it was moved to it.

    Raises:
        InvalidRequest: when none can be written there.
    """
    for number in range(1000):
        beside = path.with_name(f".{path.name}.{os.getpid()}.{number}.part")
        try:
            beside.touch(exist_ok=False)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be written: {error.strerror}", path=str(path)) from error
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> Path:
    """The path, where the content is now; what was there before stays when it cannot be written.

    Raises:
        InvalidRequest: when it cannot.
    """
    with scratch(path) as beside:
        try:
            beside.write_bytes(content)
            os.replace(beside, path)
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be written: {error.strerror}", path=str(path)) from error
    return path
