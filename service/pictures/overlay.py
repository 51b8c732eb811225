"""Heat maps: an activation map in colours, over the image it was taken on, with a contour."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.pictures.colours import colour, normalise

RENDERING = 1  # raise it when the same inputs give other pixels

Format = Literal["webp", "png"]
Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

QUANTILE = 0.95  # of a map, which the contour follows where nothing else is said
# How much of the image's own colour stays, how far it is dimmed, and how much the hottest place covers of it: what is
# hot is to be seen at once, and what is there still to be recognised.
_SATURATION, _BRIGHTNESS, _HOTTEST = 0.4, 0.8, 0.8
# Texture finer than this would break a contour into crumbs; cells along the longer side.
_CONTOUR_GRID = 28
# The contour: a light line on a dark one, so that it shows on any ground; half widths in pixels.
_LINES = ((1.5, 0.0), (0.7, 255.0))
_WEBP_QUALITY = 88


@dataclass(frozen=True)
class Scale:
    """What a unit's colours stand for, one scale for all its maps: activations from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def of(cls, mean: float, std: float, maximum: float) -> Scale:
        """From the mean over the probe set to three deviations above, or the greatest activation where that is less.

        r asks where units lie above their means; and a single outlier would leave all else dark.
        """
        return cls(mean, min(maximum, mean + 3 * std))


def fit(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Height and width of a picture whose longer side is `size`, at the aspect of height by width; None: as it is."""
    if size is None:
        return height, width
    longer = max(height, width)
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def resize_map(values: Map, height: int, width: int) -> Map:
    """The map float32 [H, W], resized bilinearly to [height, width]: averaged where that is smaller."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def resize_image(pixels: Pixels, height: int, width: int) -> Pixels:
    """The image uint8 [H, W, 3], resized to [height, width, 3] with antialiasing."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def heatmap(
    values: Map, scale: Scale, image: Pixels | None, size: tuple[int, int], quantile: float | None = None
) -> tuple[Pixels, float | None]:
    """The heat map uint8 [H, W, 3], and the value that its contour follows; None where there is none to draw.

    Args:
        values: activation map float32 [h, w], at the unit's own grid.
        scale: what the colours stand for.
        image: uint8 [.., .., 3], to lay the map over; None: colours alone.
        size: H and W of the picture, pixels.
        quantile: of the map's values, which the contour is drawn at, both without fine texture; None: no contour.
    """
    resized = resize_map(values, *size)
    places = normalise(resized, scale.low, scale.high)
    picture = colour(places).astype(np.float32)
    if image is not None:
        alpha = np.asarray(_HOTTEST * np.sqrt(places), np.float32)[..., None]
        picture = (1 - alpha) * _dim(resize_image(image, *size)) + alpha * picture
    if quantile is None:
        return picture.round().astype(np.uint8), None
    smooth = _smooth(values, *size)
    level = contour_level(smooth, quantile)
    if level is not None:
        for half_width, grey in _LINES:
            line = contour(smooth, level, half_width)[..., None]
            picture = (1 - line) * picture + line * grey
    return picture.round().astype(np.uint8), level


def contour_level(values: Map, quantile: float) -> float | None:
    """That quantile of a map; None where it is the least value, as nothing is below it to tell from."""
    level = float(np.quantile(values, quantile))
    return level if level > float(values.min()) else None


def contour(values: Map, level: float, half_width: float) -> Map:
    """Coverage float32 [H, W] in [0, 1] of the line along which a map is `level`, smooth at its edges.

    A pixel's distance from the line is |value - level| / |gradient|, exact where the map is a plane.

    Args:
        values: float32 [H, W], resized already.
        level: the value to follow.
        half_width: of the line, pixels.
    """
    down, right = (np.gradient(values, axis=axis) if values.shape[axis] > 1 else 0.0 for axis in (0, 1))
    slope = np.hypot(down, right)
    distance = np.full(values.shape, np.inf, np.float32)
    with np.errstate(over="ignore"):  # all but a plateau, which has no line on it
        np.divide(np.abs(values - level), slope, out=distance, where=slope > 0)
    return np.asarray(np.clip(half_width + 0.5 - distance, 0, 1), np.float32)


def encode(pixels: Pixels, format: Format) -> bytes:
    """The picture uint8 [H, W, 3] as a file."""
    options: dict[str, Any] = {"quality": _WEBP_QUALITY} if format == "webp" else {}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format.upper(), **options)
    return file.getvalue()


def _smooth(values: Map, height: int, width: int) -> Map:
    """The map, averaged to a coarse grid where its own is finer, resized to [height, width]."""
    own_height, own_width = values.shape
    coarse = fit(own_height, own_width, min(_CONTOUR_GRID, max(own_height, own_width)))
    return resize_map(resize_map(values, *coarse), height, width)


def _dim(image: Pixels) -> Map:
    """The image float32, its colours and its light taken back."""
    pixels = image.astype(np.float32)
    grey = pixels @ np.array((0.299, 0.587, 0.114), np.float32)  # luma of ITU-R BT.601
    return np.asarray(_BRIGHTNESS * (_SATURATION * pixels + (1 - _SATURATION) * grey[..., None]), np.float32)
