"""Measures against their definitions, pixel by pixel, and against pictures that were moved and enlarged."""

import math

import pytest
import torch
from torch.nn import functional

from workers.translation import metrics


def pictures(count=3, side=20, seed=0):
    """Smooth noise in [0, 1], float64."""
    noise = torch.randn(count, 3, side // 2, side // 2, generator=torch.Generator().manual_seed(seed))
    return torch.sigmoid(functional.interpolate(noise.double(), size=(side, side), mode="bicubic"))


def slow_ssim(x, y):
    """Wang et al. 2004, equation 13, a window at a time."""
    weights = [[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2)) for j in range(11)] for i in range(11)]
    weights = torch.tensor(weights, dtype=torch.float64)
    weights /= weights.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for colour in range(3):
        for top in range(x.shape[1] - 10):
            for left in range(x.shape[2] - 10):
                a, b = (one[colour, top : top + 11, left : left + 11] for one in (x, y))
                ma, mb = (weights * a).sum(), (weights * b).sum()
                va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
                both = (weights * (a - ma) * (b - mb)).sum()
                values.append((2 * ma * mb + c1) * (2 * both + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return torch.stack(values).mean()


def test_ssim_is_the_published_one():
    x, y = pictures(seed=1), pictures(seed=2)
    y[1] = (x[1] + 0.1 * y[1]).clamp(0, 1)
    expected = torch.stack([slow_ssim(a, b) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(metrics.ssim(x, y), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(metrics.ssim(x, x), torch.ones(3, dtype=torch.float64))
    assert metrics.ssim(x[..., :7, :5], y[..., :7, :5]).isfinite().all()


def test_psnr():
    x = torch.full((2, 3, 4, 4), 0.5)
    y = x.clone()
    y[0] += 0.1
    assert metrics.psnr(x, y).tolist() == [pytest.approx(20, abs=1e-5), math.inf]


def test_retrieved_is_nearest_to_its_own():
    targets = pictures(4)
    images = targets + 0.01 * torch.randn(targets.shape, generator=torch.Generator().manual_seed(1))
    assert metrics.retrieved(images, targets).tolist() == [True] * 4
    assert metrics.retrieved(images[[1, 0, 2, 2]], targets).tolist() == [False, False, True, False]
    assert metrics.retrieved(images[[0, 0]], targets[[0, 0]]).tolist() == [False, False]  # no nearer than the other


@pytest.mark.parametrize("most", [6, 12])
def test_displacement_of_a_window_that_moves(most):
    scene = pictures(5, side=60)
    before = scene[..., 14:46, 14:46]
    moves = [(0, 0), (5, 0), (-6, 2), (0, -4), (3, 6)]
    after = torch.stack(
        [one[:, 14 - dy : 46 - dy, 14 - dx : 46 - dx] for one, (dx, dy) in zip(scene, moves, strict=True)]
    )
    assert metrics.displacement(before, after, most).tolist() == [list(move) for move in moves]
    darker = 0.3 * after + 0.1
    assert metrics.displacement(before, darker, most).tolist() == [list(move) for move in moves]


def test_growth_of_a_picture_that_is_enlarged():
    scene = pictures(3, side=64, seed=4)
    factors = torch.arange(0.7, 1.5, 0.1, dtype=torch.float64)
    for factor in (0.8, 1.0, 1.3):
        theta = torch.tensor([[1 / factor, 0, 0.0], [0, 1 / factor, 0.0]], dtype=torch.float64).expand(3, 2, 3)
        grid = functional.affine_grid(theta, list(scene.shape), align_corners=False)
        after = functional.grid_sample(scene, grid, align_corners=False)
        after = after.roll((2, -1), (2, 3))  # a picture that has moved as well
        torch.testing.assert_close(
            metrics.growth(scene, after, factors, most=3), torch.full((3,), factor, dtype=torch.float64)
        )
