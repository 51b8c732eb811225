"""Which pairs of models are mined together."""

from itertools import combinations

import pytest

from service.database.schema import SKETCH_DIMENSIONS
from service.plan import NULL_PERMUTATIONS, plan_parts

MODELS = dict.fromkeys(range(8), 1000)
PAIRS = list(combinations(MODELS, 2))
PAIR_BYTES = 1000 * 1000 * (12 + 4 * NULL_PERMUTATIONS)
SKETCH_BYTES = 1000 * SKETCH_DIMENSIONS * 8
PLENTY = 2**40


def models(part):
    return {model for pair in part for model in pair}


def size(part):
    return len(part) * PAIR_BYTES + len(models(part)) * SKETCH_BYTES


def test_one_part_when_all_fits():
    assert plan_parts(PAIRS, MODELS, PLENTY) == [PAIRS]


def test_nothing_to_do_has_no_parts():
    assert plan_parts([], MODELS, PLENTY, 3) == []


@pytest.mark.parametrize("budget", [PAIR_BYTES + 2 * SKETCH_BYTES, 5 * PAIR_BYTES, 9 * PAIR_BYTES + 5 * SKETCH_BYTES])
@pytest.mark.parametrize("least", [1, 3])
def test_parts_fit_the_budget_and_have_every_pair_once(budget, least):
    parts = plan_parts(PAIRS, MODELS, budget, least)
    assert sorted(pair for part in parts for pair in part) == PAIRS
    assert all(size(part) <= budget for part in parts)
    assert len(parts) >= least
    if least == 1:
        assert len(parts) <= careless(budget)


def test_a_pair_beyond_the_budget_is_a_part_of_its_own():
    assert sorted(plan_parts(PAIRS, MODELS, 1)) == [[pair] for pair in PAIRS]


@pytest.mark.parametrize("least", [2, 3, 4, 7])
def test_workers_get_about_the_same(least):
    parts = plan_parts(PAIRS, MODELS, PLENTY, least)
    assert len(parts) == least
    assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_pairs_of_other_sizes_are_balanced_too():
    units = {0: 36864, 1: 3840, 2: 3840, 3: 1000, 4: 500, 5: 500}
    pairs = list(combinations(units, 2))
    work = [sum(units[a] * units[b] for a, b in part) for part in plan_parts(pairs, units, PLENTY, 2)]
    assert len(work) == 2
    assert max(work) < 0.6 * sum(work)


def test_more_parts_than_pairs_are_not_made():
    assert plan_parts(PAIRS[:2], MODELS, PLENTY, 5) == [[pair] for pair in PAIRS[:2]]


def test_parts_share_few_models():
    """Two zoos that have nothing to do with each other are not mixed."""
    apart = list(combinations(range(4), 2)) + list(combinations(range(4, 8), 2))
    parts = plan_parts(apart, MODELS, PLENTY, 2)
    assert sorted(map(len, map(models, parts))) == [4, 4]


def careless(budget):
    """How many parts a plan that never looks back makes."""
    parts, room = 0, -1
    for _ in PAIRS:
        need = PAIR_BYTES + 2 * SKETCH_BYTES
        if need > room:
            parts, room = parts + 1, budget
        room -= need
    return parts
