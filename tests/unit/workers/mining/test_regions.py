"""Scores of units in a box of an image, against a slow loop over cells in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workers.mining.regions import coverage, region_scores


def overlap(a, b, c, d):
    return max(0.0, min(b, d) - max(a, c))


def slow(maps, mean, std, region):
    """Score, inside and outside of each unit, cell by cell."""
    left, top, right, bottom = region
    channels, height, width = maps.shape
    found = []
    for c in range(channels):
        sums, peak = [0.0, 0.0, 0.0, 0.0], -math.inf
        for i in range(height):
            for j in range(width):
                z = (maps[c, i, j] - mean[c]) / std[c]
                share = overlap(i / height, (i + 1) / height, top, bottom) * height
                share *= overlap(j / width, (j + 1) / width, left, right) * width
                peak = max(peak, z) if share > 0 else peak
                for place, value in enumerate((share * z, share, (1 - share) * z, 1 - share)):
                    sums[place] += value
        inside, outside = sums[0] / sums[1], sums[2] / sums[3]
        found.append((inside - outside, inside, outside, peak))
    return np.array(found).T


edges = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda pair: pair[1] - pair[0] > 1e-3)


@given(st.integers(1, 7), st.integers(2, 7), edges, edges, st.integers(0, 2**16))
def test_as_a_loop_over_cells(height, width, across, down, seed):
    region = (across[0], down[0], across[1], down[1])
    if region[2] - region[0] > 0.99 and region[3] - region[1] > 0.99:
        return  # nothing is outside
    rng = np.random.default_rng(seed)
    maps, mean, std = rng.normal(size=(3, height, width)), rng.normal(size=3), rng.uniform(0.1, 2, 3)
    found = region_scores(torch.tensor(maps), torch.tensor(mean), torch.tensor(std), region)
    wanted = slow(maps, mean, std, region)
    for name, values in zip(("score", "inside", "outside", "peak"), wanted, strict=True):
        assert getattr(found, name).numpy() == pytest.approx(values, abs=1e-6)


def test_coverage_of_cells_in_part():
    assert coverage(2, 4, (0.125, 0.25, 0.75, 1.0)).tolist() == [[0.25, 0.5, 0.5, 0], [0.5, 1, 1, 0]]
    assert coverage(3, 3, (0, 0, 1, 1)).sum() == 9
    assert coverage(1, 1, (0.5, 0.5, 1, 1)).item() == 0.25


def test_the_unit_that_fires_in_the_box_is_first_whatever_its_scale():
    maps = torch.rand(5, 8, 8, generator=torch.Generator().manual_seed(0))
    maps[3, 2:4, 4:6] += 2
    scale, shift = torch.tensor([1, 10, 0.1, 100, 1.0]), torch.tensor([0, 5, -5, 100, 1.0])
    maps = maps * scale[:, None, None] + shift[:, None, None]
    found = region_scores(maps, 0.5 * scale + shift, 0.3 * scale, (0.5, 0.25, 0.75, 0.5))
    assert found.score.argmax() == 3
    assert found.inside[3] == pytest.approx(2 / 0.3, abs=2)
    assert abs(found.outside[3]) < 1


def test_without_a_box_the_mean_and_dead_units_never():
    maps = torch.ones(3, 2, 2)
    maps[0, 0, 0], maps[0, 1, 1] = 3, -1
    found = region_scores(maps, torch.zeros(3), torch.tensor([0.5, 0.0, math.nan]), None)
    assert found.score.tolist()[0] == found.inside.tolist()[0] == 2
    assert found.score[1:].isnan().all()
    assert found.outside.isnan().all()
    assert found.peak[0] == 6


def test_a_map_of_one_position_has_no_inside():
    found = region_scores(torch.ones(1, 1, 1), torch.zeros(1), torch.ones(1), (0, 0, 0.5, 0.5))
    assert found.score.isnan().all()
    assert region_scores(torch.ones(1, 1, 1), torch.zeros(1), torch.ones(1), None).score.tolist() == [1]


@pytest.mark.parametrize("region", [None, (0, 0, 0.5, 0.5)])
def test_a_map_that_overflows_has_no_score(region):
    maps = torch.zeros(2, 2, 2)
    maps[0, 1, 1] = torch.inf
    found = region_scores(maps, torch.zeros(2), torch.ones(2), region)
    assert found.score.isnan().tolist() == [True, False]
