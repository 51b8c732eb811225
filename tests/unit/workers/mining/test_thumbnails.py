"""Thumbnails of maps, against means by dense weights in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mining import layout
from workers.mining.miner import Miner
from workers.mining.plan import SCRATCH_BYTES
from workers.mining.resize import bilinear_matrix
from workers.mining.thumbnails import grid_of, quantise


def shrunk(maps, grid):
    """Maps [N, C, H, W] in float64, each place of the grid the mean that bilinear upsampling's weights give."""
    rows, columns = (bilinear_matrix(a, b).numpy() for a, b in zip(grid, maps.shape[2:], strict=True))
    total = np.einsum("Hh,Ww,ncHW->nchw", rows, columns, maps.double().numpy())
    return total / np.outer(rows.sum(0), columns.sum(0))


def taken(maps, batch, **options):
    """Each layer's maps as they come out of the thumbnails, float64 [N, C, h, w], and half their steps."""
    images = len(next(iter(maps.values())))
    miner = Miner([layout("net", maps)], [], [0], images, "digest", **options)
    found, half = {}, {}
    assert (len(miner.passes) > 1) == bool(options)
    for part in miner.passes:
        running = miner.start(part)
        for positions in miner.order.split(batch):
            for layer, values in maps.items():
                running.write(0, layer, values[positions])

            def take(layer, one, positions=positions):
                values = one.low[:, None, None].double() + one.step[:, None, None].double() * one.levels.double()
                shape = (images, one.levels.shape[3], *one.levels.shape[1:3])
                found.setdefault(layer, np.full(shape, np.nan))[positions] = values.permute(0, 3, 1, 2).numpy()
                half.setdefault(layer, np.zeros(shape[:2]))[positions] = one.step.numpy() / 2

            running.finish_batch(positions, {0: take})
        miner.finish(running)
    return found, half


@pytest.mark.parametrize(("batch", "budget"), [(3, None), (8, None), (1, SCRATCH_BYTES + 2_896 * 2**10)])
def test_every_layer_of_every_image_is_shrunk_and_comes_back_to_half_a_step(batch, budget):
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (5, 7, 7), "b": (3, 30, 21), "c": (4, 7, 7), "d": (2, 14, 40), "e": (6, 1, 1), "f": (2, 64, 64)}
    # Large offsets, which the engine takes off, and the first image of all far from the others.
    maps = {
        name: torch.randn(17, *shape, generator=generator) * 10 ** (number - 3.0) + 1000 * number
        for number, (name, shape) in enumerate(shapes.items())
    }
    maps["a"][:, 2] = 0.25  # the same everywhere
    found, half = taken(maps, batch, **{"budget": budget} if budget else {})
    assert list(found) == ["a", "c", "b", "d", "e", "f"]  # by grid
    for name, values in maps.items():
        expected = shrunk(values, grid_of(tuple(values.shape[2:])))
        assert found[name].shape == expected.shape
        assert found[name].shape[2:] == tuple(min(side, 14) for side in values.shape[2:])
        error = np.abs(found[name] - expected).max((2, 3))
        assert (error <= half[name] + 4e-6 * np.abs(expected).max((2, 3))).all(), name
        spread = np.ptp(expected, (2, 3))
        assert half[name] == pytest.approx(spread / 255 / 2, abs=1e-6 * np.abs(expected).max())


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(1, 5),
    st.sampled_from([1e-42, 1e-30, 1e-3, 1.0, 1e6, 1e30, 1e38]),
    st.sampled_from([0.0, 1.0, -1e4]),
)
@settings(max_examples=100, deadline=None)
def test_a_value_is_off_by_half_a_step_at_most(seed, images, positions, channels, size, offset):
    rng = np.random.default_rng(seed)
    values = (rng.uniform(-1, 1, (images, positions, channels)) * size + offset).astype(np.float32)
    low, step, levels = (part.numpy().astype(np.float64) for part in quantise(torch.from_numpy(values)))
    back = low[:, None] + step[:, None] * levels
    exact = values.astype(np.float64)
    smallest = 2 * np.finfo(np.float32).tiny * 255  # a map that varies by less is taken to be the same everywhere
    bound = step[:, None] / 2 + 1e-6 * np.abs(exact).max(1, keepdims=True) + smallest
    assert (np.abs(back - exact) <= bound).all()
    assert step == pytest.approx(np.ptp(exact, 1) / 255, rel=1e-4, abs=1e-6 * np.abs(exact).max() + smallest)


def test_many_values_are_quantised_in_pieces_as_at_once():
    values = torch.randn(9, 196, 700, generator=torch.Generator().manual_seed(1))
    weights = torch.rand(196, 1, generator=torch.Generator().manual_seed(2)) + 0.5
    whole = quantise(values, weights)
    for image in range(9):
        for part, one in zip(whole, quantise(values[image : image + 1], weights), strict=True):
            assert torch.equal(part[image], one[0])
