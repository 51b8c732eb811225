"""Files on their way to the service: hashed, and sent only when it does not have them."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest, RosettaError
from rosetta.progress import transfer_bar
from rosetta.wire import compute, decode, send, together

_BATCH = 64  # images hashed, asked for and sent between two steps of the bar
_NAMED = 5  # broken files named in an error
_NOT_IMAGES = frozenset({"thumbs.db", "desktop.ini"})


class BrokenImages(UserWarning):
    """Files of a folder were left out of a probe set, for they are no images."""


@dataclass(frozen=True)
class Image:
    """A file of a probe set: its name relative to the folder, and the sha256 of its bytes."""

    name: str
    digest: str


@dataclass(frozen=True)
class _Broken:
    name: str
    why: str  # a sentence that begins with the name


class _Missing(msgspec.Struct):
    missing: list[str]


def upload_weights(path: Path, *, progress: bool) -> Operation[str]:
    """The reference `<sha256>/<file name>` of a weight file, which the service has afterwards.

    Raises:
        InvalidRequest: when the file cannot be read.
    """
    digest = yield from compute(lambda: _digest(path))
    reference = f"{digest}/{path.name}"
    missing = yield from _ask_missing("weights", [reference])
    if missing:
        with transfer_bar(path.stat().st_size, "B", f"sending {path.name}", shown=progress) as bar:
            yield from send(
                Request("PUT", f"/v1/uploads/{digest}/{quote(path.name, safe='')}", file=path, on_sent=bar.update)
            )
    return reference


def upload_images(folder: Path, *, skip_broken: bool, progress: bool) -> Operation[list[Image]]:
    """The images of a folder, which the service has afterwards; hidden files are no images.

    Raises:
        InvalidRequest: when there is no such folder, it has no image, or a file in it is none and `skip_broken` is
            false; the first few are named.
    """
    files = yield from compute(lambda: list(_files(folder)))
    images: list[Image] = []
    broken: list[_Broken] = []
    remaining = iter(files)
    with transfer_bar(len(files), "image", f"sending {folder.name or folder}", shown=progress) as bar:
        while batch := list(islice(remaining, _BATCH)):
            good, bad = yield from _upload_batch(folder, batch)
            images += good
            broken += bad
            bar.update(len(batch))
    if broken and not skip_broken:
        raise InvalidRequest(
            f"{len(broken)} of the {len(files)} files in {folder} {_cannot_be_used(broken)}. "
            "Mend or remove them, or leave them out with --skip-broken (skip_broken=True)",
            broken=[each.name for each in broken],
        )
    if not images:
        what = "no image that can be read" if broken else "no files"
        raise InvalidRequest(f"{folder} has {what}: name a folder of images", folder=str(folder))
    if broken:
        message = f"left out {len(broken)} of the {len(files)} files in {folder}, which {_cannot_be_used(broken)}"
        warnings.warn(message, BrokenImages, stacklevel=2)
    return images


def _upload_batch(folder: Path, files: Sequence[Path]) -> Operation[tuple[list[Image], list[_Broken]]]:
    digests = yield from compute(lambda: [_digest(path) for path in files])
    named = dict(zip(files, digests, strict=True))
    missing = set((yield from _ask_missing("images", sorted(set(digests)))))
    # The same picture twice is sent once.
    to_send = {digest: path for path, digest in named.items() if digest in missing}
    answers = yield from together(
        [send(Request("PUT", f"/v1/images/{digest}", file=path)) for digest, path in to_send.items()]
    )
    refused: dict[str, str] = {}
    for digest, answer in zip(to_send, answers, strict=True):
        if isinstance(answer, InvalidRequest):
            refused[digest] = answer.message
        elif isinstance(answer, RosettaError):
            raise answer
    good: list[Image] = []
    bad: list[_Broken] = []
    for path, digest in named.items():
        name = path.relative_to(folder).as_posix()
        if digest in refused:
            bad.append(_Broken(name, _why(name, digest, refused[digest])))
        else:
            good.append(Image(name, digest))
    return good, bad


def _why(name: str, digest: str, message: str) -> str:
    """The service's sentence about a file that it knows by digest, as one about its name."""
    about = f"image {digest} "
    return f"{name} {message.removeprefix(about)}" if message.startswith(about) else f"{name}: {message}"


def _ask_missing(kind: str, digests: Sequence[str]) -> Operation[list[str]]:
    body: dict[str, Any] = {"kind": kind, "digests": digests}
    response = yield from send(Request("POST", "/v1/uploads/missing", body=body))
    return decode(response, _Missing).missing


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder, ordered by their relative names; hidden ones are left out."""
    if not folder.is_dir():
        raise InvalidRequest(f"there is no folder {folder}: name one with images", folder=str(folder))
    found = []
    for parent, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".") and name.lower() not in _NOT_IMAGES]
    return iter(sorted(found, key=lambda path: path.relative_to(folder).as_posix()))


def _unreadable(error: OSError) -> None:
    raise InvalidRequest(f"{error.filename} cannot be read: {error.strerror}", path=str(error.filename)) from error


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}", path=str(path)) from error


def _cannot_be_used(broken: Sequence[_Broken]) -> str:
    shown = "; ".join(each.why for each in broken[:_NAMED])
    more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    return f"cannot be used: {shown}{more}"
