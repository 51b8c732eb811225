"""Tuples of best buddies against brute force."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from rosetta.errors import InvalidRequest
from service.queries import tuples
from service.queries.tuples import Buddy, Tuple


def zoo(seed: int, units: int = 40, models: int = 4, most: int = 4):
    """Random choices of `units` units in some models, each of `most` buddies or fewer, and links among these."""
    rng = np.random.default_rng(seed)
    choices = {
        unit: [
            sorted(
                (
                    Buddy(int(number), float(rng.uniform()), 0.01)
                    for number in rng.choice(8, rng.integers(most + 1), replace=False)
                ),
                key=lambda buddy: -buddy.correlation,
            )
            for _ in range(models)
        ]
        for unit in range(units)
    }
    links = {
        (i, j): {
            (a, b): Buddy(b, float(rng.uniform()), 0.02) for a in range(8) for b in range(8) if rng.uniform() < 0.5
        }
        for i, j in combinations(range(models), 2)
    }
    return choices, links


def brute(choices, links, places):
    """All tuples of some models, by falling mean r."""
    found = []
    for unit, buddies in choices.items():
        for members in product(*(buddies[place] for place in places)):
            between = []
            for (i, one), (j, other) in combinations(zip(places, members, strict=True), 2):
                between.append(True if links is None else links[i, j].get((one.unit, other.unit)))
            if all(between):
                found.append(Tuple(unit, members, () if links is None else tuple(between)))
    return sorted(found, key=lambda one: -np.mean([pair.correlation for pair in (*one.members, *one.links)]))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_all_are_found_strongest_first(seed, strict):
    choices, links = zoo(seed)
    links = links if strict else None
    expected = brute(choices, links, range(4))
    assert expected
    assert tuples.find(choices, links, 10_000) == (len(expected), expected)
    assert tuples.find(choices, links, 3) == (len(expected), expected[:3])


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_largest_set_of_models_that_has_some(seed, strict):
    choices, links = zoo(seed, units=6, models=5, most=2)
    links = links if strict else None
    counts = {
        places: len(brute(choices, links, places)) for size in range(1, 6) for places in combinations(range(5), size)
    }
    expected = max((places for places, count in counts.items() if count), key=lambda some: (len(some), counts[some]))
    found, total = tuples.largest(choices, links)
    assert (len(found), total) == (len(expected), counts[expected])
    assert counts[found] == total


def test_without_any_there_is_no_largest_set():
    for links in (None, {(0, 1): {}}):
        assert tuples.largest({}, links) == ((), 0)
        assert tuples.find({}, links, 10) == (0, [])
        assert tuples.largest({3: [[Buddy(1, 0.5, 0.1)], []]}, links) == ((0,), 1)


def test_the_total_of_many_is_counted_without_making_them():
    many = [Buddy(number, 1 - number / 100, 0.01) for number in range(50)]
    total, found = tuples.find({0: [many] * 10, 1: [many] * 10}, None, 3)
    assert total == 2 * 50**10
    assert [(one.unit, [member.unit for member in one.members]) for one in found[:2]] == [(0, [0] * 10), (1, [0] * 10)]
    assert sorted(member.unit for member in found[2].members) == [0] * 9 + [1]


def test_a_strict_search_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(tuples, "_MOST_STEPS", 5_000)
    many = [Buddy(number, 0.5, 0.01) for number in range(20)]
    every = {(a, b): Buddy(b, 0.5, 0.01) for a in range(20) for b in range(20)}
    links = dict.fromkeys(combinations(range(8), 2), every)
    with pytest.raises(InvalidRequest, match="more than 5,000 combinations of best buddies to check: lower k"):
        tuples.find({0: [many] * 8}, links, 10)
