import pytest
import torch
from torch.nn import functional

from workers.mining.resize import LAGS, bilinear_matrix, gram_weights, lag_slices, shrink, sum_weights

RATIOS = [
    ((1, 1), (5, 7)),
    ((4, 4), (16, 16)),
    ((7, 5), (16, 5)),
    ((3, 8), (10, 9)),
    ((6, 6), (6, 6)),
    ((2, 9), (13, 9)),
]


@pytest.mark.parametrize(("grid", "target"), RATIOS)
def test_matrix_is_torch_interpolate(grid, target):
    maps = torch.randn(3, 2, *grid, dtype=torch.float64)
    expected = functional.interpolate(maps, size=target, mode="bilinear", align_corners=False)
    resized = bilinear_matrix(grid[0], target[0]) @ maps @ bilinear_matrix(grid[1], target[1]).T
    torch.testing.assert_close(resized, expected)


@pytest.mark.parametrize(("grid", "target"), RATIOS)
def test_shrink_is_the_adjoint(grid, target):
    small = torch.randn(2, 3, *grid, dtype=torch.float64)
    large = torch.randn(2, 3, *target, dtype=torch.float64)
    upsampled = functional.interpolate(small, size=target, mode="bilinear", align_corners=False)
    out = torch.empty(2, *grid, 3)
    shrink(large.permute(0, 2, 3, 1).float().contiguous(), grid, out)
    torch.testing.assert_close(
        (out.permute(0, 3, 1, 2).double() * small).sum(), (large * upsampled).sum(), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize(("grid", "target"), RATIOS)
def test_sum_and_norm_of_the_resized_map(grid, target):
    maps = torch.randn(*grid, dtype=torch.float64)
    resized = functional.interpolate(maps[None, None], size=target, mode="bilinear", align_corners=False)
    torch.testing.assert_close(sum_weights(grid, target) @ maps.flatten(), resized.sum())
    norm = torch.zeros((), dtype=torch.float64)
    for lag in LAGS:
        if lag[0] < grid[0] and abs(lag[1]) < grid[1]:
            here, there = lag_slices(lag)
            norm += (gram_weights(grid, target, lag) * maps[here] * maps[there]).sum()
    torch.testing.assert_close(norm, (resized**2).sum())
