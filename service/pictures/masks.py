"""Masks in PNG files: where something is, on the grid of a probe set's images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rosetta.errors import InvalidRequest


def read_mask(path: Path, height: int, width: int) -> npt.NDArray[np.bool_]:
    """The mask in a file: bool [H, W], of its central part of the same ratio of sides, the nearest pixel taken.

    A pixel is inside when it is not zero: grey, an index of a palette, or any of its colours; a transparent one is not.

    Raises:
        InvalidRequest: when there is no such file, or it is broken; names it.
    """
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidRequest(f"mask '{path.name}' cannot be read: {error}", file=str(path)) from error
    inside: npt.NDArray[np.bool_] = values.astype(bool)
    if inside.ndim == 3 and inside.shape[2] in {2, 4}:  # the last one says how opaque
        inside = inside[..., :-1] & inside[..., -1:]
    if inside.ndim == 3:
        inside = inside.max(2)
    return inside[np.ix_(*_nearest(inside.shape, (height, width)))]


def _nearest(size: tuple[int, ...], target: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of a picture under the middles of the target's pixels."""
    step = min(size[0] / target[0], size[1] / target[1])
    rows, columns = (
        np.clip((np.arange(count) + 0.5) * step + (length - count * step) / 2, 0, length - 1).astype(np.intp)
        for length, count in zip(size, target, strict=True)
    )
    return rows, columns
