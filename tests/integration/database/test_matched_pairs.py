"""The pairs that steering goes by, of a zoo that was mined on paper."""

import numpy as np
import pytest

from rosetta.errors import InvalidRequest, NotFound
from service.queries import names
from service.queries.matched_pairs import matched_pairs
from tests.integration.api import zoo


@pytest.fixture(scope="module")
def correlations(engine):
    with engine.begin() as conn:
        return zoo.seed(conn)


@pytest.fixture
def find(engine, correlations):
    def ask(model=zoo.NET, **options):
        with engine.connect() as conn:
            rows = [names.model_row(conn, name) for name in (zoo.GAN, model)]
            return matched_pairs(conn, *rows, names.probe_row(conn, "faces"), **options)

    return ask


def mutual(r, k):
    """All (r, unit, neighbour) that are among each other's k best, the greatest r first."""
    r = np.nan_to_num(r, nan=-2)
    there, back = (-r).argsort(1).argsort(1), (-r).argsort(0).argsort(0)
    found = [(float(r[u, v]), u, v) for u, v in zip(*np.nonzero((there < k) & (back < k)), strict=True) if r[u, v] > -2]
    return sorted(found, reverse=True)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_mutual_best_by_correlation(find, correlations, k):
    found = find(k=k, min_correlation=-0.9)
    assert [(pair.unit, pair.neighbour) for pair in found] == [(u, v) for _, u, v in mutual(correlations[zoo.NET], k)]
    first = found[0]
    assert first.correlation == pytest.approx(mutual(correlations[zoo.NET], k)[0][0])
    assert (first.layer, first.channel) == (("main.2", first.unit) if first.unit < 8 else ("main.8", first.unit - 8))
    assert (first.mean, first.std, first.neighbour_mean, first.neighbour_std) == (0, 1, 0, 1)
    assert first.q_value == pytest.approx(0.0001)


def test_layers_a_least_r_and_a_limit_choose(find):
    assert {pair.layer for pair in find(k=3, layers=["main.8"])} == {"main.8"}
    assert {pair.neighbour_layer for pair in find(k=3, model_layers=["*.1"])} == {"blocks.1"}
    assert min(pair.correlation for pair in find(k=3, min_correlation=0.5)) >= 0.5
    assert find(k=3, limit=2) == find(k=3)[:2]
    assert find() == find(k=3)  # all that mining kept


def test_a_concept_chooses_the_pairs_inside_it(find, engine):
    pairs = [(pair.unit, pair.neighbour) for pair in find(k=3, min_correlation=-0.9)]
    (one, other), (another, alone) = pairs[1], pairs[2]
    assert one != another
    with engine.begin() as conn:
        gan, net = (names.model_row(conn, name).id for name in (zoo.GAN, zoo.NET))
        members = [{gan: one, net: other}, {gan: another}, {net: alone}]
        concepts = zoo.add_concepts(conn, names.probe_row(conn, "faces").id, members, version=2)
    inside = find(k=3, min_correlation=-0.9, concepts=concepts)
    assert [(pair.unit, pair.neighbour) for pair in inside] == [(one, other)]
    with pytest.raises(InvalidRequest, match="share no pair"):
        find(k=3, min_correlation=-0.9, concepts=concepts[1:])


def test_what_chance_gives_steers_nothing(find):
    with pytest.raises(InvalidRequest, match="share no pair"):
        find(zoo.AGE)
    assert find(zoo.AGE, q_value=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be 1 or more"),
        ({"k": 4}, "keep more with `rosetta mine --probe faces"),
        ({"q_value": 0.0}, "above 0"),
        ({"min_correlation": 1.0}, "least r"),
        ({"limit": 0}, "limit"),
        ({"layers": ["main.9"]}, "no layer of dcgan-faces fits 'main.9'"),
    ],
)
def test_choices_that_are_none(find, options, message):
    with pytest.raises(InvalidRequest, match=message):
        find(**options)


def test_models_that_were_not_compared(find):
    with pytest.raises(NotFound, match=r"rosetta mine --probe faces --models dcgan-faces,lonely"):
        find("lonely")
