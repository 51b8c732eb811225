"""Effects over HTTP and on the page of a unit: listed by unit, model and action; measured by a job."""

from __future__ import annotations

import pytest

from tests.integration.api.causing import add_effects
from tests.integration.api.zoo import AGE, DEAD, GAN, NET


@pytest.fixture(scope="module")
def pairs(http, engine):
    with engine.begin() as conn:
        add_effects(conn, "boost", scale=0.5, amount=2.0, box=[0, 0, 32, 16])
        return add_effects(conn)


def listed(http, **params):
    answer = http.get("/v1/effects", params=params)
    assert answer.status_code == 200, answer.text
    return [(one["unit"], one["neighbour_unit"], one["action"]) for one in answer.json()["items"]]


def test_the_strongest_are_first_by_unit_model_and_action(http, pairs):
    (eight, nine) = pairs
    whole = [(*eight, "zero"), (*eight, "boost"), (*nine, "zero"), (*nine, "boost")]
    assert (
        listed(http) == listed(http, model="dcgan") == listed(http, model=NET) == listed(http, probe="faces") == whole
    )
    assert listed(http, action="zero") == [(*eight, "zero"), (*nine, "zero")]
    assert listed(http, unit=f"{GAN}/8") == whole[:2]
    assert listed(http, unit=f"{GAN}/main.8:0") == whole[:2]
    assert listed(http, unit=f"{NET}/{nine[1]}", action="boost") == [(*nine, "boost")]
    assert listed(http, model=AGE) == listed(http, probe="photos") == listed(http, unit=f"{GAN}/{DEAD}") == []
    first = http.get("/v1/effects", params={"limit": 3}).json()
    rest = http.get("/v1/effects", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [len(page["items"]) for page in (first, rest)] == [3, 1]
    assert rest["next_cursor"] is None


def test_an_effect_has_its_numbers(http, pairs, correlations):
    (one,) = http.get("/v1/effects", params={"unit": f"{GAN}/8", "action": "boost"}).json()["items"]
    assert (one["layer"], one["channel"], one["neighbour_model"], one["probe_set"]) == ("main.8", 0, NET, "faces")
    assert one["correlation"] == pytest.approx(correlations[NET][8].max())
    assert (one["amount"], one["box"], one["response"], one["effect"]) == (2.0, [0, 0, 32, 16], 1.0, 0.25)
    assert (one["inside"], one["control_inside"], one["controls"]) == (pytest.approx(0.4), pytest.approx(0.2), 100)


def test_what_is_unknown_or_wrong(http, pairs):
    assert http.get("/v1/effects", params={"unit": "nobody/3"}).status_code == 404
    assert http.get("/v1/effects", params={"model": "nobody"}).status_code == 404
    assert http.get("/v1/effects", params={"unit": "813"}).status_code == 422
    assert http.get("/v1/effects", params={"action": "nudge"}).status_code == 422
    for body, status in (
        ({"generator": "nobody"}, 404),
        ({"generator": GAN, "probe": "photos"}, 404),
        ({"generator": GAN, "action": "nudge"}, 422),
        ({"generator": GAN, "box": [60, 0, 10, 10]}, 422),
        ({"generator": GAN, "seed": 0}, 422),
    ):
        assert http.post("/v1/interventions", json=body).status_code == status, body


def test_the_job_names_who_looks_on(http, pairs):
    answer = http.post("/v1/interventions", json={"generator": GAN, "limit": 3, "models": ["lite0"]})
    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["parameters"]["models"], job["parameters"]["seed"]) == ("intervene", [NET], 1)
    assert (
        http.post("/v1/interventions", json={"generator": GAN, "limit": 3, "models": [NET]}).json()["id"] == job["id"]
    )


def test_the_page_of_a_unit_shows_what_it_causes(http, pairs):
    page = http.get(f"/units/{GAN}/8").text
    assert "pixels change 4.0 times as much as elsewhere" in page
    assert '0.500 <span class="tag good">causes</span>' in page
    nine = http.get(f"/units/{GAN}/9").text
    assert "\N{MINUS SIGN}0.025</span>" in nine
    assert page.count('class="effect"') == nine.count('class="effect"') == 1
    seer = http.get(f"/units/{NET}/{pairs[0][1]}").text
    assert "causes</span></span>" in seer
    assert "times as much as elsewhere" not in seer
    assert "Measure" not in seer
    lonely = http.get("/units/lonely/0").text
    assert "effect" not in lonely


def test_a_button_has_them_measured(http, pairs):
    form = {"generator": GAN, "probe": "faces", "unit": "8"}
    answer = http.post("/effects", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"][:6]) == (303, "/jobs/")
    job = http.get(f"/v1{answer.headers['location']}").json()
    assert (job["kind"], job["parameters"]["generator"], job["parameters"]["latents"]) == ("intervene", GAN, 64)
    refused = http.post("/effects", data=form, headers={"sec-fetch-site": "cross-site"}, follow_redirects=False)
    assert refused.status_code == 401
