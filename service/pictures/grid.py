"""A grid, looked up, as a picture: rows are units, columns the same images."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt

from service.pictures import sheet
from service.pictures.cache import version_of_images
from service.pictures.overlay import QUANTILE, fit, heatmap, resize_image
from service.pictures.stored import scale_of, stored_image, stored_map, version_of
from service.queries.grids import Grid, GridRow
from service.settings import Settings

Pixels = npt.NDArray[np.uint8]
# Images uint8 [H, W, 3], and maps float32 [h, w] by row.
Parts = tuple[list[Pixels], list[list[npt.NDArray[np.float32]]]]

_CAPTION = (
    "Columns: {columns}, by their number in the probe set. Colours: from a unit's mean over the probe set to three "
    "standard deviations above it, or its maximum. The line encloses the highest {share:.0%} of a map."
)


def version_of_grid(grid: Grid) -> str:
    """What decides the picture but for its size and form, in a few hexadecimal digits."""
    rows = [
        [version_of(row.unit), row.unit.unit.channel, scale_of(row.unit).low, scale_of(row.unit).high, _label(row)]
        for row in grid.rows
    ]
    images = [version_of_images(grid.probe_set.digest), [image.position for image in grid.images]]
    text = json.dumps([sheet.LAYOUT, grid.title, grid.facts, grid.columns, grid.probe_set.name, images, rows])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(settings: Settings, grid: Grid, *, coarse: bool = False) -> Parts | None:
    """What it is drawn of; None when some of it is not made yet.

    Args:
        settings: say where it is.
        grid: what is drawn.
        coarse: take what mining left, where the whole is not there.

    Raises:
        NotFound: when an image is an uploaded file, and that is gone.
    """
    maps = []
    for row in grid.rows:
        found = [stored_map(settings, row.unit, image.position, coarse=coarse) for image in grid.images]
        there = [values for values in found if values is not None]
        if len(there) < len(found):
            return None
        maps.append(there)
    images = [stored_image(settings, image, coarse=coarse) for image in grid.images]
    made = [pixels for pixels in images if pixels is not None]
    return (made, maps) if len(made) == len(images) else None


def draw(grid: Grid, parts: Parts, size: int, *, labels: bool) -> Pixels:
    """The picture, uint8 [H, W, 3].

    Args:
        grid: what it shows.
        parts: what it is drawn of.
        size: the longer side of a cell, pixels.
        labels: title, labels and the images themselves; else the heat maps alone.
    """
    images, maps = parts
    shape = fit(grid.probe_set.height, grid.probe_set.width, size)
    rows = [
        sheet.Row(
            _label(row),
            [
                heatmap(values, scale_of(row.unit), pixels, shape, QUANTILE)[0]
                for values, pixels in zip(of_row, images, strict=True)
            ],
        )
        for row, of_row in zip(grid.rows, maps, strict=True)
    ]
    if not labels:
        return sheet.tile(rows)
    origin = "generated images" if grid.probe_set.kind == "generator" else "images"
    themselves = sheet.Row((grid.probe_set.name, origin), [resize_image(pixels, *shape) for pixels in images])
    return sheet.draw(
        sheet.Figure(
            title=grid.title,
            facts=grid.facts,
            heads=tuple(str(image.position) for image in grid.images),
            rows=(themselves, *rows),
            scale=("a unit's mean", "its high values"),
            caption=_CAPTION.format(columns=grid.columns, share=1 - QUANTILE),
        )
    )


def _label(row: GridRow) -> tuple[str, ...]:
    unit = row.unit.unit
    return (row.unit.model.name, f"unit {unit.number}", f"{unit.layer}:{unit.channel}", *row.notes)
