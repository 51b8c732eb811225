"""Translations between models over HTTP: listed, shown, their coefficients, fitted by a job."""

from __future__ import annotations

import pytest
from safetensors.numpy import load

from tests.integration.api.translating import UNITS, add_equivalents
from tests.integration.api.zoo import AGE, CLIP, GAN, NET


@pytest.fixture(scope="module")
def numbers(http, engine, settings):
    """A translation, and one whose file is gone."""
    with engine.begin() as conn:
        return add_equivalents(conn, settings), add_equivalents(conn, settings, file=False)


def test_the_list_has_the_newest_first(http, numbers):
    page = http.get("/v1/equivalents").json()
    assert [(one["id"], one["k"], one["items"]) for one in page["items"]] == [(numbers[1], 2, []), (numbers[0], 1, [])]
    first = http.get("/v1/equivalents", params={"source": "lite0", "target": "dcgan", "limit": 1}).json()
    rest = http.get("/v1/equivalents", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in (*first["items"], *rest["items"])] == [numbers[1], numbers[0]]
    assert http.get("/v1/equivalents", params={"source": GAN}).json()["items"] == []
    assert http.get("/v1/equivalents", params={"target": "nobody"}).status_code == 404


def test_one_says_how_well_each_unit_is_told(http, numbers):
    one = http.get(f"/v1/equivalents/{numbers[0]}").json()
    assert (one["source"], one["target"], one["probe_set"], one["units"]) == (NET, GAN, "faces", 3)
    assert one["pooled"] == {"ridge": 0.375, "best": 0.25, "chance": -0.125}
    assert one["maps"]["chance"] is None
    assert [item["unit"] for item in one["items"]] == list(UNITS)
    assert [item["pooled"] for item in one["items"]] == [0.5, 0.25, None]
    assert http.get("/v1/equivalents/99").status_code == 404


def test_coefficients_are_a_file(http, numbers):
    answer = http.get(f"/v1/equivalents/{numbers[0]}/coefficients")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert load(answer.content)["units"].tolist() == list(UNITS)
    gone = http.get(f"/v1/equivalents/{numbers[1]}/coefficients")
    assert (gone.status_code, "fit it again" in gone.json()["error"]["message"]) == (404, True)
    assert http.get("/v1/equivalents/99/coefficients").status_code == 404


def test_the_job(http, numbers):
    answer = http.post("/v1/equivalents", json={"source": "lite0", "target": "face generator", "k": 2})
    job = answer.json()
    assert (answer.status_code, job["kind"]) == (202, "translate")
    wanted = job["parameters"]
    assert (wanted["models"], wanted["probe"], wanted["k"], wanted["unseen"], wanted["seed"]) == (
        [NET, GAN],
        "faces",
        2,
        True,
        1,
    )
    photos = http.post("/v1/equivalents", json={"source": NET, "target": CLIP, "probe": "photos"}).json()["parameters"]
    assert (photos["unseen"], photos["held_out"]) == (False, 25)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"source": "clip", "target": GAN}, 422, "stands for 2 models"),
        ({"source": AGE, "target": NET}, 404, "rosetta mine"),
        ({"source": NET, "target": CLIP, "probe": "faces", "k": 3}, 422, "2"),
        ({"source": NET}, 422, "target"),
    ],
)
def test_what_is_refused(http, numbers, body, status, text):
    answer = http.post("/v1/equivalents", json=body)
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
