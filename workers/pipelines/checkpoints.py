"""Checkpoints: where a job that steers a generator is, so that one that is interrupted goes on; and what it shows."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from service.settings import Settings
from service.submit_translation import preview_path

_EVERY_S = 10.0  # between two checkpoints
_STALE_S = 7 * 86400.0  # a job that nobody went on with in a week starts anew
_SIDE, _GAP = 160, 4  # of a preview's images, pixels


class Checkpoint:
    """The files of one job in the data directory.

    Attributes:
        rows: of the chunks that are finished.
        state: of the chunk that was begun; None: it was not.
    """

    def __init__(self, settings: Settings, job: int) -> None:
        """Reads what an interrupted attempt left; a file that cannot be read is as good as none."""
        self._path, self._preview = settings.checkpoints_dir / f"{job}.pt", preview_path(settings, job)
        self.rows: list[list[dict[str, Any]]] = []
        self.state: dict[str, Any] | None = None
        self._kept_at = time.monotonic()
        _forget_stale(settings.checkpoints_dir)
        with suppress(OSError, RuntimeError, ValueError, EOFError, KeyError):
            found = torch.load(self._path, weights_only=True)
            self.rows, self.state = found["rows"], found["state"]

    def keep(self, state: Callable[[], dict[str, Any]]) -> None:
        """Writes the state of the running chunk, now and then."""
        if time.monotonic() - self._kept_at > _EVERY_S:
            self._write(state())

    def finish_chunk(self, rows: list[dict[str, Any]]) -> None:
        """Writes that a chunk is finished; `rows` are added to `self.rows` by who asked."""
        self.state = None
        self._write(None, rows)

    def _write(self, state: dict[str, Any] | None, rows: list[dict[str, Any]] | None = None) -> None:
        self._kept_at = time.monotonic()
        file = io.BytesIO()
        torch.save({"rows": [*self.rows, *([rows] if rows else [])], "state": state}, file)
        _replace(self._path, file.getvalue())

    def show(self, images: Tensor) -> None:
        """Writes the preview: images float32 [N, 3, H, W] in [0, 1], side by side in rows."""
        file = io.BytesIO()
        Image.fromarray(contact_sheet(images)).save(file, "WEBP", quality=85)
        _replace(self._preview, file.getvalue())

    def remove(self) -> None:
        """Deletes the files."""
        for path in (self._path, self._preview):
            path.unlink(missing_ok=True)


def contact_sheet(images: Tensor) -> np.ndarray:
    """Images float32 [N, 3, H, W] in [0, 1] on one, uint8 [H', W', 3], in rows about as many as columns."""
    pixels = images.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    columns = int(np.ceil(np.sqrt(len(pixels))))
    rows = -(-len(pixels) // columns)
    sheet = np.full((rows * (_SIDE + _GAP) - _GAP, columns * (_SIDE + _GAP) - _GAP, 3), 255, np.uint8)
    for place, image in enumerate(pixels):
        top, left = (place // columns) * (_SIDE + _GAP), (place % columns) * (_SIDE + _GAP)
        small = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        sheet[top : top + _SIDE, left : left + _SIDE] = np.asarray(small)
    return sheet


def _replace(path: Path, content: bytes) -> None:
    """The file is there whole, or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def _forget_stale(folder: Path) -> None:
    oldest = time.time() - _STALE_S
    for path in folder.glob("*"):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
