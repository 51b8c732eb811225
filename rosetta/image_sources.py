"""Images that a caller has: a file, its bytes or a picture of Pillow, on their way to the service."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, Protocol, Union

from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest
from rosetta.wire import compute, send

# A file, its bytes, or a picture of Pillow.
ImageSource = Union[str, Path, bytes, "PillowImage"]


class PillowImage(Protocol):
    """What a picture of Pillow can do that is needed here."""

    def save(self, fp: Any, format: str) -> None:
        """Write it as a file."""


def sent_image(image: ImageSource) -> Operation[str]:
    """The sha256 of an image that the service has now."""
    content = yield from compute(lambda: _bytes(image))
    digest = hashlib.sha256(content).hexdigest()
    yield from send(Request("PUT", f"/v1/images/{digest}", params={"still": "true"}, body=content))
    return digest


def _bytes(image: ImageSource) -> bytes:
    """An image as the bytes of a file."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        path = Path(image).expanduser()
        try:
            return path.read_bytes()
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be read: {error.strerror}", path=str(path)) from error
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
