"""Thumbnails of maps: at most 14 x 14, in a byte a position, for pictures when no network is at hand.

A map is shrunk by the adjoint of bilinear upsampling, its weights normalised: a triangle filter, as antialiased
bilinear downsampling has it. The sketches need these shrunk maps in any case: a thumbnail costs its quantisation alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from workers.mining.resize import Grid, common, sum_weights
from workers.mining.sketches import SIDE
from workers.mining.stream import ModelStream

_LEVELS = 255
_CHUNK_VALUES = 2**19  # quantised at once: they stay in a core's cache
_LEAST_STEP = torch.finfo(torch.float32).tiny  # below it 1 / step is infinite


@dataclass(frozen=True)
class Thumbnails:
    """A layer's maps on some images: `low + step * levels`, off by half a step at most.

    Attributes:
        low: float32 [B, C], the least value of each map.
        step: float32 [B, C], 0 of a map that is the same everywhere.
        levels: uint8 [B, h, w, C].
    """

    low: Tensor
    step: Tensor
    levels: Tensor


def grid_of(grid: Grid) -> Grid:
    """Height and width of the thumbnails of maps of that grid."""
    return common(grid, (SIDE, SIDE))


def thumbnails(stream: ModelStream, images: int) -> Iterator[tuple[str, Thumbnails]]:
    """The thumbnails of each layer of a model, of the batch that was finished, on the CPU.

    Args:
        stream: of the model, which is being sketched: so its maps are shrunk already.
        images: of the batch.
    """
    for buffer in stream.buffers:
        group = buffer.group
        grid = grid_of(group.grid)
        maps = buffer.rows(grid, 0, images).view(images, grid[0] * grid[1], group.channels)
        weights = None if grid == group.grid else _inverse_weights(grid, group.grid, maps.device)
        names = list(group.offsets)
        ends = [*list(group.offsets.values())[1:], group.channels]
        for name, end in zip(names, ends, strict=True):
            start = group.offsets[name]
            low, step, levels = quantise(maps[..., start:end], weights)
            low += stream.shift(name)
            yield name, Thumbnails(low.cpu(), step.cpu(), levels.cpu().view(images, *grid, end - start))


def quantise(maps: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Maps float32 [B, P, C] as low [B, C], step [B, C] and levels uint8 [B, P, C] (see `Thumbnails`).

    Args:
        maps: finite.
        weights: float32 [P, 1], what to multiply each position by first; None: nothing.
    """
    images, positions, channels = maps.shape
    low, step = (torch.empty(images, channels, device=maps.device) for _ in range(2))
    levels = torch.empty(maps.shape, dtype=torch.uint8, device=maps.device)
    at_once = max(1, _CHUNK_VALUES // (positions * channels))
    for start in range(0, images, at_once):
        here = slice(start, start + at_once)
        values = maps[here] if weights is None else maps[here] * weights
        least, most = torch.aminmax(values, dim=1)
        width = (most - least) / _LEVELS
        width = torch.where(width < _LEAST_STEP, 0, width)
        inverse = torch.where(width > 0, 1 / width, 0)
        levels[here] = (values - least[:, None]).mul_(inverse[:, None]).add_(0.5)  # truncated: rounded to the nearest
        low[here], step[here] = least, width
    return low, step, levels


@cache
def _inverse_weights(grid: Grid, own: Grid, device: torch.device) -> Tensor:
    """What each position of a shrunk map is to be multiplied by, to be a mean: float32 [P, 1]."""
    return (1 / sum_weights(grid, own)).to(device, torch.float32)[:, None]
