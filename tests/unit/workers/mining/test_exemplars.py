"""The images a unit fires on most."""

import pytest
import torch

from tests.mining import mine
from workers.mining.exemplars import KEEP, TopImages


def top(values, splits, keep=4, order=None):
    """Exemplars of float32 [N, U], in batches of those sizes."""
    order = torch.arange(len(values)) if order is None else order
    state = TopImages(values.shape[1], keep, torch.device("cpu"))
    for positions in order.split(splits):
        state.update(values[positions], positions)
    return state.result()


def reference(values, keep):
    """By sorting (value, position) in Python."""
    columns = [sorted(((-v, i) for i, v in enumerate(column)))[:keep] for column in values.T.tolist()]
    return [[i for _, i in column] for column in columns], [[-v for v, _ in column] for column in columns]


@pytest.mark.parametrize("splits", [[50], [1] * 50, [7] * 7 + [1], [2, 48]])
def test_any_split_and_order_gives_what_sorting_gives(splits):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(50, 20, generator=generator)
    values[:, 3] = 0.0  # dead: all are equal
    values[:, 4] = values[:, 4].round()  # many ties
    values[:, 5] *= -1e30
    values[:, 6] = values[:, 6].abs() * 1e-40  # subnormal
    images, numbers = reference(values, 4)
    for order in (torch.arange(50), torch.randperm(50, generator=generator)):
        found = top(values, splits, order=order)
        assert found.images.tolist() == images
        assert found.values.tolist() == numbers


def test_fewer_images_than_kept():
    found = top(torch.tensor([[1.0], [3.0]]), [2], keep=9)
    assert found.images.tolist() == [[1, 0]]
    assert found.values.tolist() == [[3.0, 1.0]]


def test_shards_merge():
    values = torch.randn(40, 8, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    shards = [TopImages(8, 5, torch.device("cpu")) for _ in range(3)]
    for shard, positions in zip(shards, torch.arange(40).split([3, 20, 17]), strict=True):
        shard.update(values[positions], positions)
    merged = shards[2].merge(shards[0]).merge(shards[1]).result()
    assert merged.images.tolist() == reference(values, 5)[0]


@pytest.mark.parametrize("batch", [3, 40])
def test_a_miner_takes_them_by_unit_number(batch):
    generator = torch.Generator().manual_seed(2)
    # Two layers of one grid around one of another: group order is not the order of numbers.
    maps = {
        name: torch.randn(40, channels, size, size, generator=generator) + 100
        for name, channels, size in (("a", 3, 4), ("b", 2, 2), ("c", 4, 4))
    }
    profile = mine({"m": maps, "n": maps}, batch=batch).profile(0)
    for found, reduce in ((profile.by_maximum, torch.amax), (profile.by_mean, torch.mean)):
        values = torch.cat([reduce(value.double(), (2, 3)) for value in maps.values()], 1)
        expected = values.topk(KEEP, dim=0)
        assert torch.equal(found.images, expected.indices.T)
        assert torch.allclose(found.values.double(), expected.values.T, atol=1e-4, rtol=0)


def test_without_a_sketch_there_are_none():
    maps = {"a": torch.randn(5, 3, 4, 4)}
    profile = mine({"m": maps, "n": maps}, sketch=False).profile(0)
    assert profile.by_maximum is None
    assert profile.by_mean is None
