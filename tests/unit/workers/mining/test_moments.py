import pytest
import torch

from workers.mining.errors import ShapeError
from workers.mining.moments import Moments

CPU = torch.device("cpu")


def moments_of(maps, *targets):
    moments = Moments(tuple(maps.shape[1:3]), maps.shape[3], targets, CPU)
    moments.update(maps)
    return moments


def test_statistics_add_the_shift_back():
    maps = torch.randn(20, 4, 6, 3)
    result = moments_of(maps).result(torch.tensor([10.0, 0.0, -2.0]))
    flat = maps.double().flatten(0, 2) + torch.tensor([10.0, 0.0, -2.0]).double()
    torch.testing.assert_close(result.mean, flat.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(result.std, flat.std(0, correction=0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result.minimum, flat.amin(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(result.maximum, flat.amax(0), rtol=1e-6, atol=1e-6)
    assert not result.dead.any()


def test_dead_is_a_constant_unit_also_far_from_zero():
    maps = torch.randn(5, 2, 2, 3)
    maps[..., 1] = 0.0
    maps[..., 2] = 1e-9 * maps[..., 2]  # tiny, but alive
    result = moments_of(maps).result(torch.tensor([0.0, 1e6 + 1 / 3, 0.0]))
    assert result.dead.tolist() == [False, True, False]


def test_merge_is_one_update():
    maps = torch.randn(9, 3, 5, 4)
    merged = moments_of(maps[:2], (7, 7)).merge(moments_of(maps[2:], (7, 7)))
    whole = moments_of(maps, (7, 7))
    for a, b in zip(merged.at((7, 7)), whole.at((7, 7)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert merged.images == 9


def test_another_grid_is_refused():
    with pytest.raises(ShapeError, match="3 x 4, expected 2 x 2"):
        Moments((2, 2), 1, (), CPU).update(torch.zeros(1, 3, 4, 1))
