"""Boxes in an uploaded image, and the square of it that networks see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from rosetta.errors import InvalidRequest

_ORIENTATION, _FIRST_TURNED = 0x0112, 5  # EXIF: from 5 on, width and height change places


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as it is shown, upright; its pixels are not decoded."""
    with Image.open(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
        return (image.height, image.width) if turned else (image.width, image.height)


def square_of(width: int, height: int) -> tuple[float, float, float]:
    """Left, top and side of the central square, pixels."""
    side = min(width, height)
    return (width - side) / 2, (height - side) / 2, side


def is_seen_whole(box: Sequence[float], width: int, height: int) -> bool:
    """Whether a box lies in the central square as a whole."""
    x, y, w, h = box
    left, top, side = square_of(width, height)
    return left <= x and x + w <= left + side and top <= y and y + h <= top + side


def region_of(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
    """A box as shares of the central square: left, top, right, bottom in [0, 1].

    Args:
        box: x, y, width, height in pixels of the image as it is shown.
        width: of that image.
        height: of it.

    Raises:
        InvalidRequest: when it is no box, lies outside the image or outside the square, or leaves nothing outside.
    """
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise InvalidRequest(f"a box is four numbers, x, y, width and height in pixels, not {list(map(str, box))}")
    x, y, w, h = box
    if w <= 0 or h <= 0:
        raise InvalidRequest(f"a box has a width and a height above 0, not {w:g} and {h:g}")
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise InvalidRequest(
            f"the box from ({x:g}, {y:g}) to ({x + w:g}, {y + h:g}) lies outside the image of {width} x {height} pixels"
        )
    left, top, side = square_of(width, height)
    region = tuple(
        min(max(place, 0.0), 1.0)
        for place in ((x - left) / side, (y - top) / side, (x + w - left) / side, (y + h - top) / side)
    )
    if region[0] >= region[2] or region[1] >= region[3]:
        raise InvalidRequest(
            f"the box lies outside the central square, from ({left:g}, {top:g}) with a side of {side:g} pixels, which "
            "is what networks see: move it, or crop the image"
        )
    if region == (0, 0, 1, 1):
        raise InvalidRequest("the box leaves nothing of the image outside: search without it")
    return region[0], region[1], region[2], region[3]
