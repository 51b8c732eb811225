"""Edits against the same done cell by cell in float64."""

import math

import pytest
import torch

from rosetta.errors import InvalidRequest
from tests.unit.workers.translation.steered import MEAN, STD, pair
from workers.translation import edits
from workers.translation.targets import LayerTargets, Targets

FRAME = (64, 48)  # height, width


def targets(seed=0, images=2, grids=((7, 7), (16, 12), (1, 1))):
    draw = torch.Generator().manual_seed(seed)
    layers = []
    for number, grid in enumerate(grids):
        pairs = tuple(pair("fine", channel, f"seen{number}", channel, minimum=-0.5) for channel in range(3))
        layers.append(LayerTargets(f"seen{number}", pairs, torch.randn(images, 3, *grid, generator=draw)))
    return Targets(tuple(layers))


def bilinear(maps, row, column):
    """A map at a place in cells, float64 [N, P]; what lies outside the frame is at its mean, 0."""
    low_row, low_column = math.floor(row), math.floor(column)
    total = torch.zeros(maps.shape[:2], dtype=torch.float64)
    for i in (low_row, low_row + 1):
        for j in (low_column, low_column + 1):
            if 0 <= i < maps.shape[2] and 0 <= j < maps.shape[3]:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * maps[:, :, i, j].double()
    return total


def moved(one, where):
    """Each cell reads where its middle, in pixels, came from: `where(x, y)`."""
    result = []
    for layer in one.layers:
        height, width = layer.maps.shape[2:]
        cell = FRAME[0] / height, FRAME[1] / width
        found = torch.zeros(layer.maps.shape, dtype=torch.float64)
        for i in range(height):
            for j in range(width):
                x, y = where((j + 0.5) * cell[1], (i + 0.5) * cell[0])
                found[:, :, i, j] = bilinear(layer.maps, y / cell[0] - 0.5, x / cell[1] - 0.5)
        result.append(found)
    return result


def same(edited, expected):
    for layer, maps in zip(edited.layers, expected, strict=True):
        torch.testing.assert_close(layer.maps.double(), maps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (8, 0), (-3.3, 5.1), (47, -63)])
def test_shift(dx, dy):
    one = targets()
    same(edits.shift(one, FRAME, dx, dy), moved(one, lambda x, y: (x - dx, y - dy)))


def test_a_shift_to_the_right_moves_to_the_right():
    maps = torch.zeros(1, 1, 8, 8)
    maps[..., 2, 3] = 1
    one = Targets((LayerTargets("seen", (pair("fine", 0),), maps),))
    found = edits.shift(one, (64, 64), 16, -8).layers[0].maps
    assert found[0, 0].nonzero().tolist() == [[1, 5]]


@pytest.mark.parametrize(("factor", "centre"), [(1.25, None), (0.8, None), (2, (10, 50)), (1, (3, 3))])
def test_zoom(factor, centre):
    one = targets()
    cx, cy = centre or (24, 32)
    expected = moved(one, lambda x, y: (cx + (x - cx) / factor, cy + (y - cy) / factor))
    same(edits.zoom(one, FRAME, factor, centre), expected)


@pytest.mark.parametrize("other", [None, 1, 2])
def test_copy_paste(other):
    one, box, to = targets(), (4.0, 8.0, 16.0, 24.0), (21.0, 30.5)
    source = None if other is None else targets(5, other)
    shifted = moved(source or one, lambda x, y: (x - to[0] + box[0], y - to[1] + box[1]))
    expected = []
    for layer, come in zip(one.layers, shifted, strict=True):
        height, width = layer.maps.shape[2:]
        part = torch.zeros(height, width, dtype=torch.float64)
        for i in range(height):
            for j in range(width):
                top, left = i * FRAME[0] / height, j * FRAME[1] / width
                down = max(0, min(to[1] + box[3], top + FRAME[0] / height) - max(to[1], top)) / (FRAME[0] / height)
                right = max(0, min(to[0] + box[2], left + FRAME[1] / width) - max(to[0], left)) / (FRAME[1] / width)
                part[i, j] = down * right
        expected.append(layer.maps * (1 - part) + come * part)
    same(edits.copy_paste(one, FRAME, box, to, source), expected)


@pytest.mark.parametrize("box", [None, (0.0, 0.0, 24.0, 64.0)])
def test_units_raised_lowered_and_removed(box):
    one = targets()

    def chosen(each):
        return each.model.layer == "seen1" and each.model.channel == 2

    before = one.layers[1].maps
    left = before.clone()
    left[...] = 0
    left[..., : 6 if box else 12] = 1
    for action, expected in (
        ("raise", before + 1.5 * left),
        ("lower", before - 1.5 * left),
        ("remove", before * (1 - left) + left * (-0.5 - MEAN) / STD),
    ):
        found = edits.change_units(one, FRAME, chosen, action, amount=1.5, box=box)
        torch.testing.assert_close(found.layers[1].maps[:, 2], expected[:, 2])
        assert found.layers[1].maps[:, :2].equal(before[:, :2])
        assert found.layers[0].maps.equal(one.layers[0].maps)
    assert before.equal(targets().layers[1].maps)  # the targets given stay as they are


def test_chosen_units_get_their_share_of_the_weight():
    one = targets()
    found = edits.change_units(one, FRAME, lambda each: each.model.layer == "seen2", "raise", share=0.4)
    weights = [[each.weight for each in layer.pairs] for layer in found.layers]
    assert sum(weights[2]) / sum(map(sum, weights)) == pytest.approx(0.4)
    assert weights[0] == weights[1] == [1, 1, 1]


@pytest.mark.parametrize("images", [1, 2])
def test_align(images):
    one, other = targets(), targets(9, images)
    for strength in (0, 0.25, 1):
        expected = [a.maps + strength * (b.maps - a.maps) for a, b in zip(one.layers, other.layers, strict=True)]
        same(edits.align(one, other, strength), [maps.double() for maps in expected])


def test_edits_compose():
    one = targets(grids=((64, 48),))
    both = edits.shift(edits.shift(one, FRAME, 5, 2), FRAME, -2, 3)
    torch.testing.assert_close(
        both.layers[0].maps[..., 5:, 3:-2], edits.shift(one, FRAME, 3, 5).layers[0].maps[..., 5:, 3:-2]
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: edits.shift(t, FRAME, 48, 0), "48 x 64 pixels: by \\(48, 0\\)"),
        (lambda t: edits.shift(t, FRAME, math.nan, 0), "inside the frame"),
        (lambda t: edits.zoom(t, FRAME, 0), "above 0"),
        (lambda t: edits.zoom(t, FRAME, math.inf), "above 0"),
        (lambda t: edits.zoom(t, FRAME, 2, (49, 0)), "inside the frame"),
        (lambda t: edits.copy_paste(t, FRAME, (40, 0, 9, 9), (0, 0)), "inside the frame"),
        (lambda t: edits.copy_paste(t, FRAME, (0, 0, 9, 9), (0, 60)), "inside the frame"),
        (lambda t: edits.copy_paste(t, FRAME, (0, 0, 9, 9), (9, 9), targets(images=3)), "3 other images came for 2"),
        (lambda t: edits.copy_paste(t, FRAME, (0, 0, 9, 9), (9, 9), Targets(t.layers[:1])), "same pairs"),
        (lambda t: edits.change_units(t, FRAME, lambda _: True, "raise", box=(0, 0, 0, 5)), "has an area"),
        (lambda t: edits.change_units(t, FRAME, lambda _: True, "raise", amount=-1), "above 0"),
        (lambda t: edits.change_units(t, FRAME, lambda _: False, "raise"), "no matched pair has that unit"),
        (lambda t: edits.align(t, t, 1.5), "between 0 and 1"),
    ],
)
def test_edits_that_are_none(edit, message):
    with pytest.raises(InvalidRequest, match=message):
        edit(targets())


def test_removing_asks_for_the_least_activation():
    one = Targets((LayerTargets("seen", (pair("fine", 0),), torch.zeros(1, 1, 2, 2)),))
    with pytest.raises(InvalidRequest, match="least activation"):
        edits.change_units(one, FRAME, lambda _: True, "remove")
