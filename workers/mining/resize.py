"""Bilinear resizing as linear algebra: `U = U_h (x) U_w`, its adjoint, and its Gram bands.

Nobody builds a resized map: `<Ux, y> = <x, U'y>`, `sum(Ux) = (1'U) x` and `|Ux|^2 = x' (U'U) x`, where `U'U` is
separable and each factor is tridiagonal, for neighbouring outputs only mix neighbouring inputs (METHOD.md).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

Grid = tuple[int, int]  # height, width


@cache
def bilinear_matrix(size: int, target: int) -> Tensor:
    """U of one axis: `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` as a matrix.

    Args:
        size: length of the axis before, >= 1.
        target: length after, >= size.
    Returns:
        float64 [target, size]; each row sums to 1.
    """
    if target == size:
        return torch.eye(size, dtype=torch.float64)
    source = ((torch.arange(target, dtype=torch.float64) + 0.5) * (size / target) - 0.5).clamp(min=0)
    low = source.floor().long().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    weight = source - low
    matrix = torch.zeros(target, size, dtype=torch.float64)
    rows = torch.arange(target)
    matrix.index_put_((rows, low), 1 - weight, accumulate=True)
    matrix.index_put_((rows, high), weight, accumulate=True)
    return matrix


def common(a: Grid, b: Grid) -> Grid:
    """The grid at which two layers' cross-product is taken: the smaller one, axis by axis."""
    return min(a[0], b[0]), min(a[1], b[1])


def joint(a: Grid, b: Grid) -> Grid:
    """The grid that correlation is defined on: the larger one, axis by axis."""
    return max(a[0], b[0]), max(a[1], b[1])


def shrink(maps: Tensor, target: Grid, out: Tensor) -> None:
    """Write `U' maps` to `out`: the adjoint of bilinear upsampling from `target` to the maps' own grid.

    Args:
        maps: float32 [N, H, W, C], contiguous.
        target: no larger than (H, W) in either axis.
        out: float32 [N, *target, C], contiguous.
    """
    n, height, width, channels = maps.shape
    h, w = target
    if maps.is_cpu and 4 * h >= height and 4 * w >= width:
        # The gradient of resizing is its adjoint. Its cost is that of reading the maps, whatever the target; a GPU
        # would add up in an order of its own each time.
        torch.ops.aten.upsample_bilinear2d_backward.grad_input(
            maps.permute(0, 3, 1, 2),
            [height, width],
            [n, channels, h, w],
            align_corners=False,
            grad_input=out.permute(0, 3, 1, 2),
        )
        return
    rows = maps.view(n, height, width * channels)
    if h < height:
        rows = torch.bmm(_adjoint(h, height, maps.device).expand(n, h, height), rows)
    adjoint = _adjoint(w, width, maps.device).expand(n * h, w, width)
    torch.bmm(adjoint, rows.view(n * h, width, channels), out=out.view(n * h, w, channels))


@cache
def _adjoint(size: int, target: int, device: torch.device) -> Tensor:
    return bilinear_matrix(size, target).T.to(device, torch.float32)


def sum_weights(grid: Grid, target: Grid) -> Tensor:
    """`1'U` for upsampling `grid` to `target`: float64 [H*W], so that sum(Ux) = weights . x."""
    rows = bilinear_matrix(grid[0], target[0]).sum(0)
    columns = bilinear_matrix(grid[1], target[1]).sum(0)
    return torch.outer(rows, columns).flatten()


# Half of the nine neighbours of a position: x'(T)x sums each symmetric pair once, with twice its weight.
LAGS: tuple[tuple[int, int], ...] = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1))


def gram_weights(grid: Grid, target: Grid, lag: tuple[int, int]) -> Tensor:
    """The band of `U'U` at `lag`, for upsampling `grid` to `target`.

    Returns:
        float64 [H - dh, W - |dw|]: |Ux|^2 is the sum over lags and positions p of weights[p] x[p] x[p + lag],
        positions counted from the first that has a neighbour at the lag.
    """
    rows = bilinear_matrix(grid[0], target[0])
    columns = bilinear_matrix(grid[1], target[1])
    down, right = lag
    band = torch.outer(torch.diagonal(rows.T @ rows, down), torch.diagonal(columns.T @ columns, abs(right)))
    return band if lag == (0, 0) else 2 * band


def lag_slices(lag: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Row and column slices of the positions p, and of their neighbours p + lag (the lag's dw may be negative)."""
    down, right = lag
    here = (slice(None, -down or None), slice(None, -right or None) if right >= 0 else slice(-right, None))
    there = (slice(down, None), slice(right, None) if right >= 0 else slice(None, right))
    return here, there
