"""The obvious, slow way, in float64: what the engine must agree with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """float64 [C, N*H*W]: maps [N, C, h, w] resized bilinearly to the grid."""
    if maps.shape[2:] != grid:
        maps = functional.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
    return maps.permute(1, 0, 2, 3).flatten(1)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """float64 [A, B]: r of maps [N, A, h, w] and [N, B, h', w'], both resized to the larger grid, axis by axis."""
    a, b = a.double(), b.double()
    grid = (max(a.shape[2], b.shape[2]), max(a.shape[3], b.shape[3]))
    x, y = resized(a, grid), resized(b, grid)
    x = x - x.mean(1, keepdim=True)
    y = y - y.mean(1, keepdim=True)
    return (x @ y.T) / torch.outer(x.norm(dim=1), y.norm(dim=1))


def pearson_layers(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """float64 [A, B] over all layers of two models."""
    return torch.cat([torch.cat([pearson(x, y) for y in b], 1) for x in a], 0)
