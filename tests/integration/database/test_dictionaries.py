"""Questions for Rosetta dictionaries, on planted rows and against brute force over the stored ones."""

from __future__ import annotations

from itertools import combinations, product
from statistics import fmean

import numpy as np
import pytest
import sqlalchemy as sa

from rosetta.errors import InvalidRequest, NotFound
from service.queries.dictionaries import find_dictionary
from tests.integration.api import zoo
from tests.integration.database import rows


@pytest.fixture(scope="module")
def planted(engine):
    """Models g, a, b, c of 10 units on two probe sets, and d.

    On `planted`: units 0 to 7 of g and a are best buddies, 0 to 5 of g and b, none of g and c, 0 to 3 of a and b; none
    of a and c, nor of b and c. On `newer`: only g, a and b. `d` was mined with a alone.
    """
    with engine.begin() as conn:
        g, a, b, c, d = (rows.add_model(conn, name, 10) for name in "gabcd")
        older, newer = (rows.add_probe_set(conn, name) for name in ("planted", "newer"))
        for one, other, buddies in ((g, a, 8), (g, b, 6), (g, c, 0), (a, b, 4), (a, c, 0), (b, c, 0)):
            rows.add_pair(conn, older, one, other, 10, buddies)
        rows.add_pair(conn, newer, g, a, 10, 2)
        rows.add_pair(conn, newer, g, b, 10, 2, q_values=(0.001, 0.3))
        rows.add_pair(conn, older, a, d, 10, 3)


@pytest.fixture
def conn(engine, planted):
    with engine.connect() as connection:
        yield connection


def units(found):
    return sorted(tuple(unit.unit for unit in row.units) for row in found.tuples)


def test_best_buddies_of_all_models(conn):
    found = find_dictionary(conn, "g", ["b", "a"], probe="planted")
    assert units(found) == [(unit, unit, unit) for unit in range(6)]
    assert (found.generator, found.models, found.probe_set, found.total) == ("g", ("b", "a"), "planted", 6)
    assert (found.k, found.strict, found.q_value, found.largest, found.largest_total) == (1, False, 0.05, (), 0)
    last = next(row for row in found.tuples if row.units[0].unit == 5)
    assert [(unit.model, unit.layer, unit.channel) for unit in last.units] == [
        ("g", "block.1", 0),
        ("b", "block.1", 0),
        ("a", "block.1", 0),
    ]
    assert [unit.correlation for unit in last.units] == [1.0, 0.5, 0.5]
    assert (last.mean_correlation, last.min_correlation) == (0.5, 0.5)
    assert last.q_value == pytest.approx(0.02)  # the greater of both directions


def test_strict_wants_all_pairs(conn):
    found = find_dictionary(conn, "g", ["a", "b"], probe="planted", strict=True)
    assert units(found) == [(unit, unit, unit) for unit in range(4)]
    assert find_dictionary(conn, "g", ["a"], probe="planted", strict=True).total == 8


def test_the_limit_leaves_the_total(conn):
    for strict, total in ((False, 6), (True, 4)):
        found = find_dictionary(conn, "g", ["a", "b"], probe="planted", strict=strict, limit=2)
        assert (len(found.tuples), found.total) == (2, total)


def test_with_k_there_are_several_a_unit_and_all_are_tuples(conn):
    # Of rank 2, unit u and u + 1 are best buddies of each other in every pair: add_pair says so.
    found = find_dictionary(conn, "g", ["a", "b"], probe="planted", k=2)
    expected = {
        (unit, (unit + one) % 10, (unit + other) % 10)
        for unit in range(10)
        for one, other in product(range(2), repeat=2)
        if (one or unit < 8) and (other or unit < 6)
    }
    assert units(found) == sorted(expected)
    assert found.tuples[0].mean_correlation == 0.5
    means = [row.mean_correlation for row in found.tuples]
    assert means == sorted(means, reverse=True)
    # Strict: the two buddies must be the same step apart as add_pair has it of a and b.
    strict = find_dictionary(conn, "g", ["a", "b"], probe="planted", k=2, strict=True)
    buddies = {(unit, unit) for unit in range(4)} | {(unit, (unit + 1) % 10) for unit in range(10)}
    assert units(strict) == sorted(one for one in expected if (one[1], one[2]) in buddies)


def test_without_any_the_largest_set_of_models_that_has_some(conn):
    found = find_dictionary(conn, "g", ["a", "c", "b"], probe="planted")
    assert (found.total, found.tuples) == (0, ())
    assert (found.largest, found.largest_total) == (("a", "b"), 6)
    found = find_dictionary(conn, "g", ["a", "c", "b"], probe="planted", strict=True)
    assert (found.largest, found.largest_total) == (("a", "b"), 4)
    found = find_dictionary(conn, "g", ["c"], probe="planted")
    assert (found.total, found.largest, found.largest_total) == (0, (), 0)


def test_the_q_value_and_the_newest_probe_set(conn):
    found = find_dictionary(conn, "g", ["a", "b"])
    assert (found.probe_set, found.total, found.largest, found.largest_total) == ("newer", 0, ("a",), 2)
    found = find_dictionary(conn, "g", ["a", "b"], q_value=None)
    assert (found.q_value, units(found)) == (None, [(0, 0, 0), (1, 1, 1)])
    assert found.tuples[0].q_value == pytest.approx(0.3)
    assert find_dictionary(conn, "g", ["a", "b"], q_value=0.31).total == 2
    # On newer, a and b were not compared: strict falls back on the probe set where they were.
    assert find_dictionary(conn, "g", ["a", "b"], strict=True).probe_set == "planted"
    assert find_dictionary(conn, "g", ["a", "c"]).probe_set == "planted"


def test_pairs_without_a_null_have_no_q_value(engine, conn):
    with engine.begin() as writing:
        (one, other), probe_set = (rows.add_model(writing, name, 10) for name in "xy"), rows.add_probe_set(writing, "p")
        rows.add_pair(writing, probe_set, one, other, 10, 3, q_values=(np.nan, np.nan))
    assert find_dictionary(conn, "x", ["y"], q_value=1.0).total == 0
    assert [row.q_value for row in find_dictionary(conn, "x", ["y"], q_value=None).tuples] == [None] * 3


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"others": ["a", "b", "c"], "probe": "newer"}, NotFound, "g and c were not compared on probe set newer yet"),
        ({"others": ["a", "b", "c"], "probe": "newer"}, NotFound, "`rosetta mine --probe newer --models g,c`"),
        (
            {"others": ["a", "b"], "probe": "newer", "strict": True},
            NotFound,
            "rosetta mine --probe newer --models a,b`",
        ),
        ({"others": ["a", "d"]}, NotFound, "`rosetta mine --probe (planted|newer) --models g,d`"),
        ({"others": ["d"]}, NotFound, "on any probe set yet: `rosetta mine --probe PROBE --models g,d`"),
        ({"others": ["a"], "k": 4}, InvalidRequest, "k 4 is more than the 3 matches kept of . and .; keep more with"),
        ({"others": ["a"], "k": 0}, InvalidRequest, "k must be 1 or more"),
        ({"others": ["a"], "q_value": 0.0}, InvalidRequest, "a q-value lies above 0"),
        ({"others": ["a"], "q_value": float("nan")}, InvalidRequest, "a q-value lies above 0"),
        ({"others": ["a"], "limit": 0}, InvalidRequest, "limit must be between 1 and 10000"),
        ({"others": []}, InvalidRequest, "needs one model or more"),
        ({"others": ["a", "g"]}, InvalidRequest, "g is not compared with itself"),
        ({"others": ["a", "b", "a"]}, InvalidRequest, "a is named twice"),
        ({"others": ["test"]}, InvalidRequest, "'test' stands for [0-9]+ models"),
        ({"others": ["nobody"]}, NotFound, "no model 'nobody'"),
        ({"others": ["a"], "probe": "nowhere"}, NotFound, "no probe set 'nowhere'"),
    ],
)
def test_what_cannot_be_answered(conn, asked, error, message):
    with pytest.raises(error, match=message):
        find_dictionary(conn, "g", **asked)


MODELS = ("gan", "one", "two", "three")


@pytest.fixture(scope="module")
def random_zoo(engine):
    """Four models of 30 units whose correlations are random, with a shared part: all pairs are mined, 5 kept."""
    rng = np.random.default_rng(3)
    responses = {name: rng.normal(size=(30, 6)) for name in MODELS}
    with engine.begin() as conn:
        ids = {name: zoo.add_model(conn, name, [("x", 10), ("y", 20)], family=f"family of {name}") for name in MODELS}
        probe_set = rows.add_probe_set(conn, "random")
        for one, other in combinations(MODELS, 2):
            r = np.corrcoef(responses[one], responses[other])[:30, 30:]
            zoo.add_pair(conn, probe_set, ids[one], ids[other], r.astype(np.float32), keep=5)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_brute_force_over_the_stored_rows_agrees(conn, random_zoo, k, strict):
    statement = sa.text(
        "SELECT m.name, t.unit, n.name, t.neighbour, t.rank, t.reciprocal_rank, t.correlation FROM matches t"
        " JOIN comparisons c ON c.id = t.comparison_id JOIN models m ON m.id = c.model_id"
        " JOIN models n ON n.id = c.neighbour_model_id"
    )
    near = {
        (model, unit, neighbour_model, neighbour): r
        for model, unit, neighbour_model, neighbour, rank, rank_back, r in conn.execute(statement)
        if rank <= k and 1 <= rank_back <= k
    }

    def tuples(others):
        """Units -> mean r, by trying every unit of every model."""
        found = {}
        names = ("gan", *others)
        wanted = [pair for pair in combinations(range(len(names)), 2) if strict or pair[0] == 0]
        partial = [()]
        for place, name in enumerate(names):
            before = [pair for pair in wanted if pair[1] == place]
            partial = [
                (*some, unit)
                for some in partial
                for unit in range(30)
                if all((names[i], some[i], name, unit) in near for i, _ in before)
            ]
        for some in partial:
            found[some] = fmean(near[names[i], some[i], names[j], some[j]] for i, j in wanted)
        return found

    expected = tuples(MODELS[1:])
    found = find_dictionary(conn, "gan", MODELS[1:], k=k, strict=strict)
    assert found.total == len(expected)
    assert units(found) == sorted(expected)
    means = [row.mean_correlation for row in found.tuples]
    assert means == pytest.approx(sorted(expected.values(), reverse=True))
    for row in found.tuples:
        assert row.mean_correlation == pytest.approx(expected[tuple(unit.unit for unit in row.units)])
    if k > 1:
        assert found.total  # else it shows nothing
    if not expected:
        counts = {some: len(tuples(some)) for size in (1, 2) for some in combinations(MODELS[1:], size)}
        best = max((some for some in counts if counts[some]), key=lambda some: (len(some), counts[some]))
        assert (len(found.largest), found.largest_total) == (len(best), counts[best])
        assert counts[found.largest] == counts[best]
