"""Rosetta dictionaries over HTTP."""

from __future__ import annotations

import numpy as np
import pytest

from tests.integration.api.test_lists import refused
from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT


def buddies(r: np.ndarray, k: int) -> set[tuple[int, int]]:
    """Pairs of units that are each among the other's k best; a dead unit is in none."""
    scores = np.where(np.isnan(r), -2, r)
    ranks = np.argsort(np.argsort(-scores, axis=1), axis=1)
    ranks_back = np.argsort(np.argsort(-scores, axis=0), axis=0)
    return {(u, v) for u, v in np.argwhere((ranks < k) & (ranks_back < k)).tolist() if u != DEAD}


def dictionary(http, models, **params):
    response = http.get("/v1/dictionary", params={"generator": GAN, "models": models, **params})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_tuples_are_what_the_correlations_say(http, correlations, k):
    found = dictionary(http, f"{NET},{CLIP}", k=k, limit=10_000)
    pairs = {name: buddies(correlations[name], k) for name in (NET, CLIP)}
    expected = {(u, v, w) for u, v in pairs[NET] for other, w in pairs[CLIP] if other == u}
    assert {tuple(unit["unit"] for unit in row["units"]) for row in found["tuples"]} == expected
    assert (found["total"], len(found["tuples"])) == (len(expected), len(expected))
    assert expected
    for row in found["tuples"]:
        u, v, w = (unit["unit"] for unit in row["units"])
        r = [float(correlations[NET][u, v]), float(correlations[CLIP][u, w])]
        assert [unit["correlation"] for unit in row["units"]] == pytest.approx([1.0, *r])
        assert (row["mean_correlation"], row["min_correlation"]) == pytest.approx((sum(r) / 2, min(r)))
        assert row["q_value"] == pytest.approx(0.0001)


def test_nicknames_and_the_rest_of_the_answer(http):
    found = dictionary(http, " EfficientNet , clip-rn50", limit=1)
    assert {name: found[name] for name in found if name not in {"tuples", "total"}} == {
        "generator": GAN,
        "models": [NET, CLIP],
        "probe_set": "faces",
        "k": 1,
        "strict": False,
        "q_value": 0.05,
        "largest": [],
        "largest_total": 0,
    }
    assert len(found["tuples"]) == 1
    [unit, *_] = found["tuples"][0]["units"]
    assert unit["model"] == GAN
    assert unit["unit"] == {"main.2": 0, "main.8": 8}[unit["layer"]] + unit["channel"]


def test_any_model_may_be_the_generator(http):
    found = http.get("/v1/dictionary", params={"generator": NET, "models": GAN, "probe": "faces"}).json()
    there = dictionary(http, NET)
    assert {tuple(unit["unit"] for unit in row["units"]) for row in found["tuples"]} == {
        tuple(unit["unit"] for unit in reversed(row["units"])) for row in there["tuples"]
    }


def test_what_chance_explains_counts_only_when_it_is_asked_for(http, correlations):
    found = dictionary(http, f"{AGE},{NET}")
    assert (found["total"], found["tuples"], found["largest"]) == (0, [], [NET])
    assert found["largest_total"] == len(buddies(correlations[NET], 1))
    found = dictionary(http, AGE, q="all")
    assert (found["total"], found["q_value"]) == (len(buddies(correlations[AGE], 1)), None)
    assert dictionary(http, AGE, q=0.6)["total"] == found["total"]


def test_strict_gives_some_of_the_tuples(http):
    loose = dictionary(http, f"{NET},{CLIP}", k=2)
    strict = dictionary(http, f"{NET},{CLIP}", k=2, strict="true")
    assert strict["strict"]
    numbers = [[tuple(unit["unit"] for unit in row["units"]) for row in found["tuples"]] for found in (loose, strict)]
    assert set(numbers[1]) < set(numbers[0])


@pytest.mark.parametrize(
    ("params", "status", "message"),
    [
        ({"models": "clip"}, 422, "'clip' stands for 2 models (clip-rn50, clip-vit-b32): name one"),
        ({"models": "lonely"}, 404, f"`rosetta mine --probe PROBE --models {GAN},lonely`"),
        ({"models": f"{NET},{VIT}", "strict": "true"}, 404, f"`rosetta mine --probe faces --models {NET},{VIT}`"),
        ({"models": f"{NET},{CLIP}", "k": 4}, 422, "k 4 is more than the 3 matches kept of"),
        ({"models": NET, "k": 2**40}, 422, "is more than the 3 matches kept of"),
        ({"models": NET, "probe": "face"}, 404, "did you mean faces?"),
        ({"models": "mobilenets"}, 404, "no model 'mobilenets'"),
        ({"models": ","}, 422, "needs one model or more"),
        ({"models": NET, "q": 2}, 422, "a q-value lies above 0 and up to 1"),
        ({"models": NET, "q": "some"}, 422, "'q': input should be a valid number"),
        ({"models": NET, "k": 0}, 422, "'k': input should be greater"),
        ({"models": NET, "limit": 10_001}, 422, "'limit': input should be less"),
        ({"models": NET, "top": 3}, 422, "'top' is not a parameter"),
        ({}, 422, "'models' is missing"),
    ],
)
def test_what_cannot_be_answered_is_one_line(http, params, status, message):
    assert message in refused(http.get("/v1/dictionary", params={"generator": GAN, **params}), status)
