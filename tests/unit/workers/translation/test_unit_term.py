"""The correlation that inversion climbs, against both maps resized and correlated in float64."""

import pytest
import torch
from torch.nn import functional

from tests.unit.workers.translation.steered import MEAN, STD, pair
from workers.translation.targets import LayerTargets, Targets
from workers.translation.unit_term import FLOOR, UnitTerm

CPU = torch.device("cpu")
GENERATOR = {"coarse": (4, 3), "fine": (8, 9)}
IMAGES = 3


def random_targets(grids, seed=0):
    """Two layers of a model, with several pairs to a unit, and units in no order."""
    draw = torch.Generator().manual_seed(seed)
    pairs = [
        (pair("fine", 4, weight=0.5), pair("coarse", 2, weight=2.0), pair("fine", 1)),
        (pair("fine", 4, weight=0.3), pair("coarse", 0, weight=0.7)),
    ]
    return Targets(
        tuple(
            LayerTargets(f"seen{place}", mine, torch.randn(IMAGES, len(mine), *grid, generator=draw))
            for place, (mine, grid) in enumerate(zip(pairs, grids, strict=True))
        )
    )


def slow(targets, maps):
    """The weighted mean of the pairs' correlations, float64 [B, N]: every map built at the larger grid."""
    pairs = [(layer, place) for each in targets for layer in each.layers for place in range(len(layer.pairs))]
    weights = sum(layer.pairs[place].weight for layer, place in pairs)
    result = torch.zeros(len(next(iter(maps.values()))), IMAGES, dtype=torch.float64)
    for layer, place in pairs:
        side = layer.pairs[place].generator
        g = ((maps[side.layer][:, side.channel].double() - MEAN) / STD)[:, None]
        d = layer.maps[:, place].double()[:, None]
        grid = [max(a, b) for a, b in zip(g.shape[2:], d.shape[2:], strict=True)]
        x, y = (functional.interpolate(one, size=grid, mode="bilinear", align_corners=False) for one in (g, d))
        x, y = x.flatten(1), y.flatten(1)
        cells = x.shape[1]
        norms = [(one.square().mean(1) + FLOOR**2).sqrt() for one in (x, y)]
        result += layer.pairs[place].weight / weights * (x @ y.T / cells) / torch.outer(*norms)
    return result


def total(see, maps):
    return sum(see(layer, values) for layer, values in maps.items())


@pytest.mark.parametrize("grids", [((4, 3), (8, 9)), ((2, 2), (16, 12)), ((1, 1), (3, 20)), ((8, 9), (7, 7))])
def test_every_pair_at_the_larger_grid(grids):
    draw = torch.Generator().manual_seed(1)
    maps = {layer: torch.randn(IMAGES, 5, *grid, generator=draw) * 2 + 1 for layer, grid in GENERATOR.items()}
    targets = [random_targets(grids), random_targets(grids[::-1], seed=7)]
    term = UnitTerm(targets, GENERATOR, CPU)
    expected = slow(targets, maps)
    torch.testing.assert_close(total(term.of_all, maps).double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(total(term.of_own, maps)[0].double(), expected.diagonal(), rtol=1e-5, atol=1e-6)


def test_several_starts_of_each_image():
    targets = [random_targets(((4, 3), (8, 9)))]
    term = UnitTerm(targets, GENERATOR, CPU)
    maps = {layer: torch.randn(2 * IMAGES, 5, *grid) for layer, grid in GENERATOR.items()}
    all_ = total(term.of_all, maps).unflatten(0, (2, IMAGES))
    torch.testing.assert_close(total(term.of_own, maps), torch.stack([one.diagonal() for one in all_]))


def test_the_gradient_is_that_of_the_slow_way():
    targets = [random_targets(((2, 2), (16, 12)))]
    term = UnitTerm(targets, GENERATOR, CPU)
    upstream = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.1, 1.0]])  # of two starts an image
    maps = {layer: torch.randn(2 * IMAGES, 5, *grid) for layer, grid in GENERATOR.items()}
    maps["fine"] = maps["fine"].contiguous(memory_format=torch.channels_last)
    gradients = []
    for way in ("fast", "slow"):
        leaves = {layer: values.clone().requires_grad_() for layer, values in maps.items()}
        if way == "fast":
            found = total(term.of_own, leaves)
        else:
            found = torch.stack([one.diagonal() for one in slow(targets, leaves).unflatten(0, (2, IMAGES))])
        gradients.append(torch.autograd.grad((found * upstream).sum(), list(leaves.values())))
    for fast, other in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, other, rtol=1e-4, atol=1e-7)


def test_layers_without_a_pair_are_not_read():
    term = UnitTerm([random_targets(((4, 3), (8, 9)))], {**GENERATOR, "last": (2, 2)}, CPU)
    assert term.layers == ["coarse", "fine"]


def test_a_map_at_its_mean_has_no_direction():
    targets = Targets((LayerTargets("seen", (pair("coarse", 0),), torch.full((1, 1, 4, 3), 1e-4)),))
    term = UnitTerm([targets], {"coarse": (4, 3)}, CPU)
    fires = torch.full((1, 1, 4, 3), MEAN + 3 * STD)
    assert abs(term.of_own("coarse", fires).item()) < 0.01
