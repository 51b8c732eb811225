"""Maps as pictures: every unit a dot, drawn here for who has no scripts, and for files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.queries.maps import Points

Colour = Literal["model", "layer", "concept"]
COLOURS: tuple[Colour, ...] = get_args(Colour)

# The same as in map.css, there also for dark grounds. Of categories: Okabe & Ito (2008), in an order in which
# neighbours differ; yellow is darkened to be seen on paper. Of depth: viridis, without its palest end.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#a08c00", "#5b5b66")
RAMP = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#bddf26")
REST = "#8f9a96"  # concepts beside those with a colour of their own; units of none are paler

_SCALE = 2  # drawn larger and shrunk, for smooth edges
_MARGIN = 0.03  # of the longer side
_PALE = 60  # alpha: there is no ground to mix colours with


def colours(
    points: Points, by: Colour, layers: Sequence[int], shown_concepts: Sequence[int] = ()
) -> npt.NDArray[np.uint8]:
    """The colour of each point, RGBA uint8 [N, 4].

    Args:
        points: of the map.
        by: what colours say.
        layers: how many layers each model has.
        shown_concepts: those with a colour of their own, at most as many as the palette has.
    """
    found = np.full((len(points.x), 4), 255, np.uint8)
    if by == "model":
        found[:, :3] = np.array([_rgb(model_colour(place)) for place in range(max(len(layers), 1))])[points.model]
    elif by == "layer":
        deepest = np.maximum(np.array(layers or [1]) - 1, 1)[points.model]
        found[:, :3] = _along(points.layer / deepest)
    else:
        found[:, :3] = _rgb(REST)
        found[points.concept < 0, 3] = _PALE
        for place, concept in enumerate(shown_concepts[: len(PALETTE)]):
            found[points.concept == concept, :3] = _rgb(PALETTE[place])
    return found


def model_colour(place: int) -> str:
    """The colour of the model at that place; they come again after as many as the palette has."""
    return PALETTE[place % len(PALETTE)]


def draw(
    points: Points,
    tints: npt.NDArray[np.uint8],
    *,
    width: int,
    raised: npt.NDArray[np.bool_] | None = None,
) -> bytes:
    """A map as PNG, two thirds as high as wide, on no ground.

    Args:
        points: of the map.
        tints: RGBA uint8 [N, 4]; those that are pale lie beneath.
        width: pixels.
        raised: bool [N], points that are drawn larger and last, the others pale; None: all are alike.
    """
    canvas = np.zeros((width * 2 // 3 * _SCALE, width * _SCALE, 4), np.uint8)
    columns, rows = _places(points, canvas.shape[1], canvas.shape[0])
    # Later dots cover earlier ones: in the order of the models, the last would seem the greatest.
    order = np.random.default_rng(0).permutation(len(columns))
    order = order[np.argsort(tints[order, 3], kind="stable")]
    radius = float(np.clip(0.18 * np.sqrt(canvas.shape[0] * canvas.shape[1] / max(len(columns), 1)), 2, 7))
    if raised is None:
        _dots(canvas, columns[order], rows[order], tints[order], radius)
    else:
        below, above = order[~raised[order]], order[raised[order]]
        tints = tints.copy()
        tints[:, 3] = np.where(raised, 255, np.minimum(tints[:, 3], _PALE))
        _dots(canvas, columns[below], rows[below], tints[below], radius)
        _dots(canvas, columns[above], rows[above], tints[above], 2 * radius + 2)
    file = io.BytesIO()
    Image.fromarray(canvas).reduce(_SCALE).save(file, "PNG", compress_level=4)
    return file.getvalue()


def _places(points: Points, width: int, height: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Column and row of each point: one scale both ways, in the middle, upward."""
    if not len(points.x):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    x, y = points.x.astype(np.float64), points.y.astype(np.float64)
    middle_x, middle_y = (x.max() + x.min()) / 2, (y.max() + y.min()) / 2
    margin = 2 * _MARGIN * width
    scale = min((width - margin) / max(np.ptp(x), 1e-6), (height - margin) / max(np.ptp(y), 1e-6))
    columns = np.rint(width / 2 + (x - middle_x) * scale).astype(np.intp)
    return columns, np.rint(height / 2 - (y - middle_y) * scale).astype(np.intp)


def _dots(
    canvas: npt.NDArray[np.uint8],
    columns: npt.NDArray[np.intp],
    rows: npt.NDArray[np.intp],
    tints: npt.NDArray[np.uint8],
    radius: float,
) -> None:
    """Discs into the canvas, the last on top: of each pixel of a disc all points at once."""
    colour = np.ascontiguousarray(tints).view(np.uint32)[:, 0]
    pixels = canvas.view(np.uint32)[:, :, 0]
    height, width = pixels.shape
    reach = int(np.ceil(radius))
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down * down + right * right <= radius * radius:
                pixels[np.clip(rows + down, 0, height - 1), np.clip(columns + right, 0, width - 1)] = colour


def _along(places: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colours of the ramp, uint8 [N, 3]; 0 is its beginning and 1 its end."""
    stops = np.array([_rgb(colour) for colour in RAMP], np.float64)
    at = np.clip(places, 0, 1) * (len(stops) - 1)
    return np.stack([np.rint(np.interp(at, np.arange(len(stops)), part)) for part in stops.T], axis=1).astype(np.uint8)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
