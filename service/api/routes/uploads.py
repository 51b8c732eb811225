"""Uploads: weight files and probe images, named by what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from starlette.concurrency import run_in_threadpool

from service import uploads
from service.api.bodies import Missing
from service.api.encoding import respond
from service.api.state import state_of

router = APIRouter(prefix="/v1", tags=["uploads"])

_WRITE_BYTES = 2**20  # at a time, in a thread: the disk holds up no other request
_BINARY = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"format": "binary"}}}}}
_Digest = Annotated[str, PathParameter(description="sha256 of the bytes, in hexadecimal")]


@dataclass(frozen=True)
class Stored:
    """An upload that arrived whole. `reference` is what a request names it by."""

    reference: str
    bytes: int


@dataclass(frozen=True)
class MissingUploads:
    """What has to be uploaded yet."""

    missing: list[str]


@router.put(
    "/uploads/{sha256}/{filename}",
    response_model=Stored,
    status_code=201,
    summary="Send a weight file",
    openapi_extra=_BINARY,
)
async def put_weights(request: Request, sha256: _Digest, filename: str) -> Response:
    """The file, once its bytes have that digest; otherwise nothing of it stays."""
    settings = state_of(request).settings
    target = uploads.weights_path(settings, uploads.check_digest(sha256), uploads.check_filename(filename))
    size = await _receive(request, sha256, settings.max_weights_bytes, target)
    return respond(Stored(f"{sha256}/{filename}", size), 201)


@router.put(
    "/images/{sha256}",
    response_model=Stored,
    status_code=201,
    summary="Send an image of a probe set, or one to ask about",
    openapi_extra=_BINARY,
)
async def put_image(
    request: Request,
    sha256: _Digest,
    still: Annotated[bool, Query(description="one to ask about, which has to be a single picture")] = False,
) -> Response:
    """The image, once its bytes have that digest and Pillow decodes it; otherwise nothing of it stays.

    One to ask about is deleted when nobody has done so for a day.
    """
    settings = state_of(request).settings
    path_of = uploads.query_path if still else uploads.image_path
    target = path_of(settings, uploads.check_digest(sha256))
    size = await _receive(request, sha256, settings.max_image_bytes, target, image=True, still=still)
    return respond(Stored(sha256, size), 201)


@router.post("/uploads/missing", response_model=MissingUploads, summary="Which files were not sent yet?")
def find_missing(request: Request, body: Missing) -> Response:
    """Those of the named files that the service does not have."""
    return respond(MissingUploads(uploads.missing(state_of(request).settings, body.kind, body.digests)))


async def _receive(
    request: Request, digest: str, largest: int, target: Path, *, image: bool = False, still: bool = False
) -> int:
    """Stores the request's body, and returns its size in bytes."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > largest:
        raise uploads.too_large(largest)
    with uploads.Upload(state_of(request).settings, digest, largest) as upload:
        waiting = bytearray()
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await run_in_threadpool(upload.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(upload.write, bytes(waiting))
        return await run_in_threadpool(upload.finish, target, image=image, still=still)
