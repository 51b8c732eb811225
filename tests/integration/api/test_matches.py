"""`match` over HTTP: the right rows, and a clear word when there are none."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT


def get(http: TestClient, path: str, status: int = 200, **params: object):
    response = http.get(f"/v1{path}", params=params)
    assert response.status_code == status, response.text
    return response.json()


def refused(http: TestClient, path: str, status: int, **params: object) -> str:
    error = get(http, path, status, **params)["error"]
    assert "\n" not in error["message"]
    return error["message"]


def test_matches_are_the_highest_correlations(http, correlations):
    rows = get(http, f"/models/{GAN}/units/9/matches", **{"in": NET, "top": 3})["items"]
    r = correlations[NET][9]
    best = np.argsort(-r)[:3]
    assert [row["neighbour_unit"] for row in rows] == best.tolist()
    np.testing.assert_allclose([row["correlation"] for row in rows], r[best], atol=1e-6)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    first = rows[0]
    assert (first["model"], first["layer"], first["unit"], first["channel"]) == (GAN, "main.8", 9, 1)
    assert first["probe_set"] == "faces"
    layer, channel = ("blocks.1", best[0]) if best[0] < 5 else ("blocks.2", best[0] - 5)
    assert (first["neighbour_model"], first["neighbour_layer"], first["neighbour_channel"]) == (NET, layer, channel)


def test_reciprocal_ranks_and_best_buddies(http, correlations):
    r = correlations[NET]
    for unit in range(12):
        for row in get(http, f"/models/{GAN}/units/{unit}/matches", **{"in": NET})["items"]:
            column = np.nan_to_num(r[:, row["neighbour_unit"]], nan=-2)
            back = 1 + int((column > column[unit]).sum())
            assert row["reciprocal_rank"] == (back if back <= 3 else None)
            assert row["is_best_buddy"] == (row["rank"] == 1 and back == 1)
        buddies = get(http, f"/models/{GAN}/units/{unit}/matches", **{"in": NET, "best_buddies": "true"})["items"]
        assert all(row["is_best_buddy"] for row in buddies)


def test_layer_and_channel_name_the_same_unit(http):
    by_number = get(http, f"/models/{GAN}/units/9/matches", **{"in": NET})
    assert get(http, f"/models/{GAN}/units/main.8:1/matches", **{"in": NET}) == by_number


def test_every_model_when_none_is_named(http):
    rows = get(http, f"/models/{GAN}/units/3/matches", top=2)["items"]
    assert [row["neighbour_model"] for row in rows] == [m for m in sorted([NET, CLIP, VIT, AGE]) for _ in range(2)]


@pytest.mark.parametrize("name", ["clip", "CLIP", "Clip"])
def test_a_family_answers_for_each_of_its_models(http, name):
    rows = get(http, f"/models/{GAN}/units/3/matches", **{"in": name, "top": 1})["items"]
    assert [row["neighbour_model"] for row in rows] == [CLIP, VIT]


def test_nicknames(http):
    for nickname in ("EfficientNet", "lite0", "efficientnet lite0", "the efficientnet"):
        rows = get(http, f"/models/{GAN}/units/3/matches", **{"in": nickname, "top": 1})["items"]
        assert [row["neighbour_model"] for row in rows] == [NET]


def test_probe_set_is_the_one_last_mined_with_these_models(http):
    def where(**params):
        return {row["probe_set"] for row in get(http, f"/models/{NET}/units/1/matches", **params)["items"]}

    assert where() == {"faces"}
    assert where(**{"in": CLIP}) == {"faces"}
    assert where(**{"in": CLIP, "probe": "photos"}) == {"photos"}


def test_pages_of_matches_lose_and_repeat_nothing(http):
    everything = get(http, f"/models/{GAN}/units/3/matches")["items"]
    for within in (None, "clip"):
        params = {} if within is None else {"in": within}
        seen, cursor = [], None
        while True:
            page = get(
                http, f"/models/{GAN}/units/3/matches", limit=2, **params, **({"cursor": cursor} if cursor else {})
            )
            seen += page["items"]
            if (cursor := page["next_cursor"]) is None:
                break
        assert seen == [row for row in everything if within is None or row["neighbour_model"].startswith(within)]


def test_default_top_is_what_is_kept(http):
    rows = get(http, f"/models/{NET}/units/1/matches", **{"in": CLIP, "probe": "faces"})["items"]
    assert [row["rank"] for row in rows] == [1, 2]


def test_more_than_is_kept_is_refused_with_the_command_that_keeps_more(http):
    message = refused(http, f"/models/{GAN}/units/3/matches", 422, **{"in": NET, "top": 4})
    assert "3 matches kept" in message
    assert f"rosetta mine --probe faces --models {GAN},{NET} --keep 4" in message
    refused(http, f"/models/{GAN}/units/3/matches", 422, top=0)
    refused(http, f"/models/{GAN}/units/3/matches", 422, top=10**12)


def test_a_dead_unit_says_so(http):
    for params in ({}, {"in": NET}, {"in": "clip"}, {"best_buddies": "true"}):
        error = get(http, f"/models/{GAN}/units/{DEAD}/matches", 422, **params)["error"]
        assert error["message"] == (
            f"unit 12 (main.8:4) of {GAN} is dead on probe set faces: it never changes, so nothing matches it"
        )
        assert error["details"]["reason"] == "dead"


def test_nothing_mined_names_the_command(http):
    assert refused(http, "/models/lonely/units/0/matches", 404) == (
        "lonely was not mined on any probe set yet: `rosetta mine --probe PROBE --models lonely`"
    )
    assert "`rosetta mine --probe photos --models dcgan-faces,efficientnet-lite0`" in refused(
        http, f"/models/{GAN}/units/3/matches", 404, **{"in": NET, "probe": "photos"}
    )


def test_unknown_names_are_answered_with_the_nearest(http):
    near = refused(http, "/models/dcgan/units/3/matches", 404)
    assert near == "no model 'dcgan'; did you mean dcgan-faces?"
    assert "did you mean efficientnet-lite0?" in refused(
        http, f"/models/{GAN}/units/3/matches", 404, **{"in": "efficentnet"}
    )
    assert "did you mean faces?" in refused(http, f"/models/{GAN}/units/3/matches", 404, probe="face")
    assert refused(http, f"/models/{GAN}/units/14/matches", 404) == f"{GAN} has no unit 14: its 14 units are 0 to 13"
    assert (
        refused(http, f"/models/{GAN}/units/main.8:6/matches", 404) == f"{GAN}/main.8 has no channel 6: it has 0 to 5"
    )
    assert "has no layer 'main.9'; did you mean" in refused(http, f"/models/{GAN}/units/main.9:1/matches", 404)
    assert "write its number (214) or layer:channel" in refused(http, f"/models/{GAN}/units/x/matches", 422)
    assert "not compared with itself" in refused(http, f"/models/{GAN}/units/3/matches", 422, **{"in": GAN})


def test_a_layer_with_slashes(http):
    unit = get(http, f"/models/{AGE}/units/conv1/Conv:3")
    assert (unit["number"], unit["address"]) == (3, f"{AGE}/conv1/Conv:3")
    assert get(http, f"/models/{AGE}/units/conv1%2FConv:3/matches", top=1) == get(
        http, f"/models/{AGE}/units/3/matches", top=1
    )


@pytest.mark.parametrize("cursor", ["x", "!!", "W10", "WyJhIl0", "WzEsMl0", "WyJhXHUwMDAwIiwxXQ", "a" * 500])
def test_a_wrong_cursor_is_refused(http, cursor):
    assert "next_cursor" in refused(http, f"/models/{GAN}/units/3/matches", 422, cursor=cursor)
