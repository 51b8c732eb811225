"""Files of pictures: activation maps and generated images, kept below a size limit, the least recently used go first.

Worker and API share them. A file appears whole or not at all; one that is there may go at any moment, and is then
made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.settings import Settings

_FORMAT = 1  # raise it when the same inputs give other maps
_DIGITS = 32  # of a sha256
_STALE_S = 3600.0  # a part that old is of a worker that died


class Cache:
    """The pictures in the data directory.

    Attributes:
        folder: where they are.
        limit: bytes they may take.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.pictures_dir
        self.limit = settings.pictures_bytes

    def image_path(self, probe_digest: str, position: int) -> Path:
        """The file of a generated image, PNG."""
        return self.folder / "images" / version_of_images(probe_digest) / f"{position}.png"

    def maps_path(self, maps_key: str, position: int) -> Path:
        """The file of one layer's maps on an image; see `maps_key`."""
        return self.folder / "maps" / maps_key / f"{position}.npy"

    def walk_path(self, key: str) -> Path:
        """The file of the images along a direction, side by side, PNG."""
        return self.folder / "walks" / f"{key}.png"

    def read_image(self, path: Path) -> npt.NDArray[np.uint8] | None:
        """The image uint8 [H, W, 3]; None when it is not there."""
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            os.utime(path)
        except FileNotFoundError:
            return None
        return pixels

    def read_map(self, path: Path, channel: int) -> npt.NDArray[np.float32] | None:
        """One channel's map float32 [H, W], read alone; None when the file is not there."""
        try:
            records = np.load(path, mmap_mode="r", allow_pickle=False)
            os.utime(path)
        except FileNotFoundError:
            return None
        record = records[channel]
        return np.asarray(record["scale"] * record["map"].astype(np.float32), np.float32)

    def read_maps(self, path: Path) -> npt.NDArray[np.float32] | None:
        """The maps float32 [C, H, W] of all channels; None when the file is not there."""
        try:
            records = np.load(path, allow_pickle=False)
            os.utime(path)
        except FileNotFoundError:
            return None
        return np.asarray(records["scale"][:, None, None] * records["map"].astype(np.float32), np.float32)

    def write_image(self, path: Path, pixels: npt.NDArray[np.uint8]) -> None:
        """Writes an image uint8 [H, W, 3]."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        with whole(path) as part:
            part.write_bytes(file.getvalue())

    def write_maps(self, path: Path, maps: npt.NDArray[np.float32]) -> None:
        """Writes a layer's maps [C, H, W] in half precision, each with a scale of its own, as float16 ends at 65504."""
        records = np.empty(len(maps), [("scale", "<f4"), ("map", "<f2", maps.shape[1:])])
        largest = np.abs(maps).max((1, 2))
        records["scale"] = np.where(largest > 0, largest, 1)
        records["map"] = maps / records["scale"][:, None, None]
        with whole(path) as part, part.open("wb") as file:
            np.save(file, records)

    def trim(self, keep: set[Path] | frozenset[Path] = frozenset()) -> int:
        """How many files were deleted, the least recently used ones, until the others fit the limit.

        Args:
            keep: files that stay whatever they take: those that were made just now, and are waited for.
        """
        return trim_folder(self.folder, self.limit, keep)


def version_of_images(probe_digest: str) -> str:
    """What decides the images of a probe set, in a few hexadecimal digits."""
    return probe_digest[:_DIGITS]


def maps_key(probe_digest: str, source: str, weights_digest: str, layer: str) -> str:
    """What decides the maps of a layer on the images of a probe set, in a few hexadecimal digits.

    The source is among it, for its options, such as `?size=`, change maps and not weights.
    """
    text = json.dumps([_FORMAT, probe_digest, source, weights_digest, layer])
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to; what was written is at `path` afterwards, all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def trim_folder(folder: Path, limit: int, keep: set[Path] | frozenset[Path] = frozenset()) -> int:
    """How many files of a folder were deleted, the least recently used ones, until the others fit the limit.

    Args:
        folder: with what is below it.
        limit: bytes.
        keep: files that stay whatever they take.
    """
    files = sorted(_stats(folder), key=lambda file: file[1])
    excess = sum(size for _, _, size in files) - limit
    gone = 0
    for path, used, size in files:
        stale = path.suffix == ".part" and used < time.time() - _STALE_S
        if not stale and (excess <= 0 or path in keep or path.suffix == ".part"):
            continue
        path.unlink(missing_ok=True)
        excess -= size
        gone += 1
    return gone


def _stats(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Files below a folder: path, when it was used last, bytes."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                status = path.stat()
                yield path, status.st_mtime, status.st_size
