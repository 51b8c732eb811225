"""Thumbnails in the data directory: coarse maps and small images, that mining leaves for when no worker is at work.

A layer's coarse maps on a whole probe set are one file, in which an image's maps of all channels stand together; it
appears whole, once all of them are written.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.pictures.cache import trim_folder, version_of_images, whole
from service.settings import Settings

MOST_PIXELS = 256  # of an image's longer side
_WEBP = {"quality": 88, "method": 0}  # the method is the least work


class Thumbnails:
    """The thumbnails of a data directory.

    Attributes:
        folder: where they are.
        limit: bytes they may take.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.thumbnails_dir
        self.limit = settings.stored_maps_bytes

    def maps_path(self, maps_key: str) -> Path:
        """The file of a layer's coarse maps on a probe set (see `cache.maps_key`)."""
        return self.folder / "maps" / f"{maps_key}.npy"

    def image_path(self, probe_digest: str, position: int) -> Path:
        """The file of a small image of a generator."""
        return self.folder / "images" / version_of_images(probe_digest) / f"{position}.webp"

    def read_map(self, maps_key: str, position: int, channel: int) -> npt.NDArray[np.float32] | None:
        """One channel's map on an image, float32 [h, w]; None when it is not there."""
        path = self.maps_path(maps_key)
        try:
            image = np.load(path, mmap_mode="r", allow_pickle=False)[position]
            os.utime(path)
        except FileNotFoundError:
            return None
        levels = image["levels"][..., channel].astype(np.float32)
        return np.asarray(image["low"][channel] + image["step"][channel] * levels, np.float32)

    def read_image(self, probe_digest: str, position: int) -> npt.NDArray[np.uint8] | None:
        """An image uint8 [H, W, 3], its longer side at most MOST_PIXELS; None when it is not there."""
        path = self.image_path(probe_digest, position)
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            os.utime(path)
        except FileNotFoundError:
            return None
        return pixels

    def write_image(self, probe_digest: str, position: int, pixels: npt.NDArray[np.uint8]) -> None:
        """Writes an image uint8 [H, W, 3] of any size."""
        image, file = Image.fromarray(pixels), io.BytesIO()
        image.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.LANCZOS)
        image.save(file, "WEBP", **_WEBP)
        with whole(self.image_path(probe_digest, position)) as part:
            part.write_bytes(file.getvalue())

    def trim(self) -> int:
        """How many files were deleted, the least recently used ones, until the others fit the limit."""
        return trim_folder(self.folder, self.limit)


class MapsFile:
    """A layer's coarse maps on a probe set, while they are being written, image by image in any order.

    Attributes:
        bytes: that it takes.
    """

    def __init__(self, path: Path, images: int, channels: int, grid: tuple[int, int]) -> None:
        """For maps of `images` images, [channels, *grid] each; `path` is where it will be."""
        self._path = path
        self._part = path.with_name(f"{path.name}.{uuid4().hex}.part")
        self._images = images
        self._record = np.dtype(
            [("low", "<f4", (channels,)), ("step", "<f4", (channels,)), ("levels", "u1", (*grid, channels))]
        )
        self.bytes = images * self._record.itemsize
        self._start = 0  # of the first image, in bytes; 0: nothing is written yet

    def write(
        self,
        positions: npt.NDArray[np.int64],
        low: npt.NDArray[np.float32],
        step: npt.NDArray[np.float32],
        levels: npt.NDArray[np.uint8],
    ) -> None:
        """Writes the maps of some images, `low + step * levels`.

        Args:
            positions: int64 [B], in the probe set.
            low: float32 [B, C].
            step: float32 [B, C].
            levels: uint8 [B, h, w, C].
        """
        if not self._start:
            self._begin()
        records = np.empty(len(positions), self._record)
        records["low"], records["step"], records["levels"] = low, step, levels
        # Opened each time: a model has hundreds of layers, and a process may hold a thousand files.
        file = os.open(self._part, os.O_WRONLY)
        try:
            for position, record in zip(positions.tolist(), records, strict=True):
                os.pwrite(file, record.tobytes(), self._start + position * self._record.itemsize)
        finally:
            os.close(file)

    def publish(self) -> None:
        """Lets it appear, once every image is written."""
        os.replace(self._part, self._path)

    def abandon(self) -> None:
        """Leaves nothing of it; what is published stays."""
        self._part.unlink(missing_ok=True)

    def _begin(self) -> None:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        header = {"descr": np.lib.format.dtype_to_descr(self._record), "fortran_order": False, "shape": (self._images,)}
        with self._part.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            self._start = file.tell()
            file.truncate(self._start + self.bytes)
