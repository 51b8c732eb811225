"""Cross-products and the null against their definition: image i meets image i - p, cyclically."""

import pytest
import torch

from workers.mining.buffers import GroupBuffer
from workers.mining.layout import LayerShape, ModelLayout
from workers.mining.plan import common_grids
from workers.mining.products import CrossProducts

CPU = torch.device("cpu")
IMAGES, PERMUTATIONS = 11, 3
FIRST = ModelLayout("a", (LayerShape("l", 4, 5, 6), LayerShape("m", 3, 2, 2)))
SECOND = ModelLayout("b", (LayerShape("l", 5, 5, 6), LayerShape("m", 2, 2, 2)))


def products(maps, batch, rows=slice(0, 7)):
    result = CrossProducts(FIRST, SECOND, rows, PERMUTATIONS, CPU)
    buffers = [
        [
            GroupBuffer(group, grids, batch, PERMUTATIONS, CPU)
            for group, grids in zip(layout.groups, common_grids(layout, [partner]), strict=True)
        ]
        for layout, partner in ((FIRST, SECOND), (SECOND, FIRST))
    ]
    seen = 0
    for positions in torch.arange(IMAGES).split(batch):
        for side, values in zip(buffers, maps, strict=True):
            for buffer, value in zip(side, values, strict=True):
                buffer.write(0, value[positions], torch.zeros(value.shape[1]))
                buffer.shrink(len(positions))
        result.update(*buffers, len(positions), seen)
        for side in buffers:
            for buffer in side:
                buffer.roll(len(positions))
        seen += len(positions)
    result.close(*buffers)
    return result


@pytest.fixture(scope="module")
def maps():
    generator = torch.Generator().manual_seed(0)
    return [
        [torch.randn(IMAGES, shape.channels, shape.height, shape.width, generator=generator) for shape in layout.layers]
        for layout in (FIRST, SECOND)
    ]


@pytest.mark.parametrize("batch", [1, 2, 4, 11])
@pytest.mark.parametrize("group", [0, 1])
def test_every_permutation_by_definition(maps, batch, group):
    """Groups of one grid, where a product is a plain sum over images and positions."""
    found = products(maps, batch)
    x, y = (side[group].double() for side in maps)
    sums = [found.cross[group][group], *found.null[group][group]]
    for p, total in enumerate(sums):
        expected = torch.einsum("nahw,nbhw->ab", x, y.roll(p, dims=0))
        torch.testing.assert_close(total.double(), expected, atol=1e-4, rtol=1e-5)


def test_rows_are_a_slice_of_the_whole(maps):
    whole, part = products(maps, 4), products(maps, 4, slice(2, 6))
    torch.testing.assert_close(part.cross[0][1], whole.cross[0][1][2:4])
    torch.testing.assert_close(part.null[1][0], whole.null[1][0][:, :2])


def test_float64_sums_go_on_after_they_were_read(maps):
    found = products(maps, 4)
    before = found.cross[0][0].clone()
    torch.testing.assert_close(found.cross[0][0], before)
    assert before.dtype == torch.float64
    doubled = found.merge(products(maps, 4)).cross[0][0]
    torch.testing.assert_close(doubled, 2 * before)
