"""Parts of a mining job: as few as the memory budget allows."""

from __future__ import annotations

from itertools import combinations

import pytest

from service.plan import NULL_PERMUTATIONS, plan_parts


def test_the_demo_is_one_part():
    units = {1: 960, 2: 512, 3: 488, 4: 224}
    pairs = list(combinations(units, 2))
    assert plan_parts(pairs, units, 2**30) == [pairs]


@pytest.mark.parametrize("budget", [1, 10**6, 10**7, 10**8, 10**10])
def test_every_pair_once_and_nothing_beyond_the_budget(budget):
    units = {model: 100 * model for model in range(1, 9)}
    pairs = list(combinations(units, 2))
    parts = plan_parts(pairs, units, budget)
    assert sorted(pair for part in parts for pair in part) == pairs
    for part in parts:
        products = sum(units[a] * units[b] * (12 + 4 * NULL_PERMUTATIONS) for a, b in part)
        sketches = sum(units[model] * 512 * 8 for model in {model for pair in part for model in pair})
        assert products + sketches <= budget or len(part) == 1
    assert len(parts) <= plan_count(pairs, units, budget)


def plan_count(pairs, units, budget):
    """How many parts a plan that never looks back makes."""
    parts, room = 0, -1
    for a, b in pairs:
        need = units[a] * units[b] * (12 + 4 * NULL_PERMUTATIONS) + (units[a] + units[b]) * 4096
        if need > room:
            parts, room = parts + 1, budget
        room -= need
    return parts
