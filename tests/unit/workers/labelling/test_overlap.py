"""Network Dissection against brute force in float64."""

import pytest
import torch

from workers.labelling.overlap import Overlap, Seen
from workers.labelling.thresholds import UpperQuantile, kept

IMAGES, UNITS, THINGS = 24, 6, 3
SIZE = (32, 32)


def planted(grid, seed=0):
    """Maps float32 [N, C, h, w], and masks bool [N, W, H, W]; unit 0 is on where thing 0 is."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(IMAGES, THINGS, *SIZE, dtype=torch.bool)
    for image in range(0, IMAGES, 2):  # every other image shows the things
        for thing in range(THINGS):
            top, left = torch.randint(0, 24, (2,), generator=generator).tolist()
            masks[image, thing, top : top + 6 + thing, left : left + 8] = True
    maps = torch.randn(IMAGES, UNITS, *grid, generator=generator)
    shown = torch.nn.functional.interpolate(masks[:, :1].float(), grid, mode="area")
    maps[:, :1] = shown + 0.01 * maps[:, :1]
    maps[:, 5] = maps[:, 5].relu() * (maps[:, 5] > 2.9)  # zero all over but for a few places
    return maps, masks


def threshold_by_sorting(maps, quantile):
    """The least activation with P(a > T) <= quantile."""
    found = []
    for unit in maps.transpose(0, 1).flatten(1):
        ordered = unit.sort().values
        exceeding = len(unit) - torch.searchsorted(ordered, ordered, right=True)
        found.append(ordered[exceeding <= quantile * len(unit) + 1e-9].min())
    return torch.stack(found)


def iou_by_counting(maps, masks, thresholds):
    resized = torch.nn.functional.interpolate(maps.double(), SIZE, mode="bilinear", align_corners=False)
    on = resized > thresholds.double()[:, None, None]
    return torch.tensor(
        [
            [
                float((on[:, unit] & masks[:, thing]).sum()) / max(1, int((on[:, unit] | masks[:, thing]).sum()))
                for thing in range(THINGS)
            ]
            for unit in range(UNITS)
        ],
        dtype=torch.float64,
    )


def seen(masks):
    """Of bool [B, W, H, W], what each image shows."""
    shown = [mask.flatten(1).any(1).nonzero()[:, 0] for mask in masks]
    return [Seen(things, mask[things]) for things, mask in zip(shown, masks, strict=True)]


def run(maps, masks, quantile, splits):
    positions = maps.shape[0] * maps.shape[2] * maps.shape[3]
    heights = UpperQuantile(positions, quantile)
    for batch in torch.randperm(IMAGES, generator=torch.Generator().manual_seed(7)).split(splits):
        heights.update(maps[batch])
    thresholds = heights.result()
    overlap = Overlap(thresholds, THINGS, SIZE)
    for batch in torch.arange(IMAGES).split(splits):
        overlap.update(maps[batch], seen(masks[batch]))
    return thresholds, overlap.result()


@pytest.mark.parametrize("quantile", [0.005, 0.02, 0.3])
@pytest.mark.parametrize("grid", [(8, 8), (7, 5), (1, 1), (32, 32)])
def test_thresholds_and_iou_are_those_of_brute_force(grid, quantile):
    maps, masks = planted(grid)
    thresholds, iou = run(maps, masks, quantile, 5)
    assert torch.equal(thresholds, threshold_by_sorting(maps, quantile))
    assert torch.allclose(iou, iou_by_counting(maps, masks, thresholds), atol=2e-3)


@pytest.mark.parametrize("splits", [1, 7, IMAGES])
def test_any_split_gives_the_same(splits):
    maps, masks = planted((8, 8))
    thresholds, iou = run(maps, masks, 0.02, 5)
    again, iou_again = run(maps, masks, 0.02, splits)
    assert torch.equal(thresholds, again)
    assert torch.equal(iou, iou_again)


def test_shards_merge():
    maps, masks = planted((8, 8))
    thresholds, iou = run(maps, masks, 0.02, 5)
    positions = IMAGES * 64
    first, second = UpperQuantile(positions, 0.02), UpperQuantile(positions, 0.02)
    first.update(maps[:10])
    second.update(maps[10:])
    assert torch.equal(first.merge(second).result(), thresholds)
    first, second = Overlap(thresholds, THINGS, SIZE), Overlap(thresholds, THINGS, SIZE)
    first.update(maps[:10], seen(masks[:10]))
    second.update(maps[10:], seen(masks[10:]))
    assert torch.equal(first.merge(second).result(), iou)


def test_a_unit_that_shows_the_thing_is_found_and_noise_is_not():
    maps, masks = planted((16, 16))
    share = float(masks[:, 0].float().mean())
    _, iou = run(maps, masks, share, 6)
    assert iou[0, 0] > 0.5
    assert iou[1:5].max() < 0.04
    assert iou[0, 1:].max() < iou[0, 0] / 3


def test_many_units_are_resized_a_few_at_a_time(monkeypatch):
    maps, masks = planted((8, 8))
    _, iou = run(maps, masks, 0.3, 5)
    monkeypatch.setattr("workers.labelling.overlap._BYTES", 2 * 4 * SIZE[0] * SIZE[1])
    assert torch.equal(run(maps, masks, 0.3, 5)[1], iou)


def test_what_nobody_saw_overlaps_with_nothing():
    overlap = Overlap(torch.tensor([1.0]), 1, SIZE)
    overlap.update(torch.zeros(2, 1, 4, 4), seen(torch.zeros(2, 1, *SIZE, dtype=torch.bool)))
    assert overlap.result().tolist() == [[0.0]]


def test_as_many_activations_are_kept_as_the_threshold_takes():
    assert kept(1000, 0.005) == 6
    assert kept(200, 0.005) == 2
    assert kept(100, 0.005) == 1
