"""Regions: how much more a unit fires inside a box of an image than outside, against its probe-set distribution.

With z = (a - mean) / std of the unit over the probe set, at the unit's own grid, the score is the mean z inside the box
less the mean z outside; a cell that the box covers in part counts in part on either side. Without a box it is the
mean z over the image: how unusual it is that the unit fires so much. A map of one position has no inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Left, top, right, bottom as shares of the image's width and height.
Region = tuple[float, float, float, float]


@dataclass(frozen=True)
class RegionScores:
    """Of each unit, float64 [C]; NaN where it is dead, its map has one position and a box is asked for, or overflows.

    Attributes:
        score: inside less outside, or inside where there is no box.
        inside: mean z inside the box, or over the image.
        outside: mean z outside; NaN where there is no box.
        peak: the greatest z of a cell that the box touches, or of any.
    """

    score: Tensor
    inside: Tensor
    outside: Tensor
    peak: Tensor


def region_scores(maps: Tensor, mean: Tensor, std: Tensor, region: Region | None) -> RegionScores:
    """Scores of the units of one layer.

    Args:
        maps: float [C, H, W], their activation maps on one image.
        mean, std: float [C], over the probe set; a std of 0 or NaN: dead.
        region: the box; None: the whole image.
    """
    scale = torch.where(std > 0, std, torch.nan).double()
    z = (maps.double() - mean.double()[:, None, None]) / scale[:, None, None]
    z = torch.where(z.isfinite(), z, torch.nan)
    nothing = torch.full_like(scale, torch.nan)
    if region is None:
        inside = z.mean((1, 2))
        return RegionScores(inside, inside, nothing, z.amax((1, 2)))
    height, width = maps.shape[1:]
    if height * width == 1:
        return RegionScores(nothing, nothing, nothing, nothing)
    weight = coverage(height, width, region)
    rest = 1 - weight
    inside = (z * weight).sum((1, 2)) / weight.sum()
    outside = (z * rest).sum((1, 2)) / rest.sum()
    return RegionScores(inside - outside, inside, outside, z[:, weight > 0].amax(1))


def coverage(height: int, width: int, region: Region) -> Tensor:
    """How much of each cell of a grid a box covers: float64 [H, W] in [0, 1]."""
    left, top, right, bottom = region
    return torch.outer(_overlap(height, top, bottom), _overlap(width, left, right))


def _overlap(cells: int, start: float, end: float) -> Tensor:
    edges = torch.arange(cells + 1, dtype=torch.float64) / cells
    return ((edges[1:].clamp(max=end) - edges[:-1].clamp(min=start)) * cells).clamp(0, 1)
