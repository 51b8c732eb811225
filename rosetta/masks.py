"""Masks: where a thing is to be seen on the images of a probe set; as results, and how the client asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest
from rosetta.operations import probes_path
from rosetta.results import Page
from rosetta.rows import Rows
from rosetta.uploads import upload_images
from rosetta.views import Column, number
from rosetta.wire import decode, send


@dataclass(frozen=True)
class Masks:
    """What a probe set has masks of. `images`: on how many of its images the thing is to be seen."""

    probe_set: str
    text: str
    images: int


class MaskRows(Rows[Masks]):
    """What a probe set has masks of, in the order of the alphabet."""

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return (
            Column("masks of", lambda row: row.text, wraps=True),
            Column("images", lambda row: number(row.images), right=True),
        )


def list_masks(probe: str) -> Operation[MaskRows]:
    """What a probe set has masks of."""
    return _rows((yield from send(Request("GET", _path(probe)))))


def add_masks(probe: str, folder: Path, *, progress: bool) -> Operation[MaskRows]:
    """What a probe set has masks of, once those of a folder were sent."""
    files = yield from upload_images(folder, skip_broken=False, progress=progress)
    masks: list[dict[str, Any]] = []
    for file in files:
        text, separator, image = file.name.partition("/")
        if not separator:
            raise InvalidRequest(
                f"'{file.name}' lies in {folder} itself: put masks into a folder each thing, such as "
                f"{folder / 'glasses' / file.name}",
                file=file.name,
            )
        masks.append({"text": text, "image": image, "digest": file.digest})
    return _rows((yield from send(Request("POST", _path(probe), body={"masks": masks}))))


def remove_masks(probe: str, text: str) -> Operation[None]:
    """Nothing: the masks are gone."""
    yield from send(Request("DELETE", f"{_path(probe)}/{quote(text, safe='')}", repeatable=False))


def _path(probe: str) -> str:
    return f"{probes_path(probe)}/masks"


def _rows(response: Any) -> MaskRows:
    return MaskRows(decode(response, Page[Masks]).items, Masks, "masks")
