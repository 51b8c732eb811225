"""Laws of the engine: any split gives the same r; scale and offset do not matter; shards merge."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mining import correlations, mine
from workers.mining.buffers import GroupBuffer
from workers.mining.layout import LayerShape, ModelLayout
from workers.mining.plan import common_grids
from workers.mining.products import CrossProducts

grids = st.tuples(st.integers(1, 9), st.integers(1, 9))


def maps(seed, images, channels, grid):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, channels, *grid, generator=generator).relu() + torch.randn(
        images, channels, 1, 1, generator=generator
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 12), grids, grids, st.integers(1, 12))
def test_any_split_gives_the_same(seed, images, grid, other, batch):
    models = {"a": {"l": maps(seed, images, 4, grid)}, "b": {"l": maps(seed + 1, images, 5, other)}}
    whole, split = mine(models, keep=5, sketch=False), mine(models, keep=5, batch=batch, sketch=False)
    torch.testing.assert_close(correlations(whole, 0, 1), correlations(split, 0, 1), atol=1e-5, rtol=0, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), grids, grids, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_positive_affine_rescaling_changes_nothing(seed, grid, other, scale, offset):
    a, b = maps(seed, 8, 4, grid), maps(seed + 1, 8, 5, other)
    plain = mine({"a": {"l": a}, "b": {"l": b}}, keep=5, sketch=False)
    scaled = mine({"a": {"l": a.mul(scale).add(offset)}, "b": {"l": b}}, keep=5, sketch=False)
    tolerance = 1e-4 + 2e-7 * abs(offset) / scale * 10  # what float32 itself lost when the offset was added
    torch.testing.assert_close(correlations(plain, 0, 1), correlations(scaled, 0, 1), atol=tolerance, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), grids, grids)
def test_the_other_way_round_is_the_transpose(seed, grid, other):
    a, b = {"l": maps(seed, 8, 6, grid)}, {"l": maps(seed + 1, 8, 5, other)}
    one, two = mine({"a": a, "b": b}, sketch=False).pair(0, 1), mine({"b": b, "a": a}, sketch=False).pair(0, 1)
    torch.testing.assert_close(
        one.forward.neighbours.correlation, two.backward.neighbours.correlation, atol=1e-5, rtol=0
    )
    assert one.best_buddies == two.best_buddies


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), grids, grids, st.integers(1, 7))
def test_shards_merge_by_addition(seed, grid, other, cut):
    layouts = [ModelLayout("a", (LayerShape("l", 4, *grid),)), ModelLayout("b", (LayerShape("l", 5, *other),))]
    values = [maps(seed, 8, 4, grid), maps(seed + 1, 8, 5, other)]
    cpu = torch.device("cpu")

    def products(start, stop):
        result = CrossProducts(*layouts, slice(0, 4), 0, cpu)
        buffers = []
        for layout, partner, value in zip(layouts, layouts[::-1], values, strict=True):
            (targets,) = common_grids(layout, [partner])
            buffer = GroupBuffer(layout.groups[0], targets, 8, 0, cpu)
            buffer.write(0, value[start:stop], torch.zeros(value.shape[1]))
            buffer.shrink(stop - start)
            buffers.append([buffer])
        result.update(*buffers, stop - start, 0)
        return result

    merged = products(0, cut).merge(products(cut, 8)).cross[0][0]
    torch.testing.assert_close(merged, products(0, 8).cross[0][0], atol=1e-4, rtol=1e-5)
