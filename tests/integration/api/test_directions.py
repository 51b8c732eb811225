"""Directions over HTTP and on their page: listed, shown, walked along, found by a job, removed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.integration.api.directing import add_directions, add_walk
from tests.integration.api.zoo import GAN, NET


@pytest.fixture(scope="module")
def sets(http, engine, settings):
    with engine.begin() as conn:
        older, newer = add_directions(conn), add_directions(conn, seed=3)
        add_walk(conn, settings, newer)
        add_walk(conn, settings, newer, axis=1, low=-1, high=1, steps=3, seed=5)
        return older, newer


def test_the_list_has_the_newest_first(http, sets):
    page = http.get("/v1/directions").json()
    assert [(one["id"], one["axes"], one["items"]) for one in page["items"]] == [(sets[1], 3, []), (sets[0], 3, [])]
    first = http.get("/v1/directions", params={"generator": "dcgan", "limit": 1}).json()
    rest = http.get("/v1/directions", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in (*first["items"], *rest["items"])] == [sets[1], sets[0]]
    assert http.get("/v1/directions", params={"generator": NET}).json()["items"] == []
    assert http.get("/v1/directions", params={"generator": "nobody"}).status_code == 404


def test_one_set_has_its_axes_and_what_moves(http, sets):
    one = http.get(f"/v1/directions/{sets[0]}").json()
    assert (one["generator"], one["layer"], one["space"], one["probe_set"]) == (GAN, "main.2", "z", "faces")
    assert [(axis["share"], axis["deviation"]) for axis in one["items"]] == [(0.25, 1.0), (0.125, 1.5), (0.0625, 0.5)]
    moved = [(row["model"], row["layer"], row["unit"], row["channel"]) for row in one["items"][0]["movements"]]
    assert moved == [(GAN, None, None, None), (NET, "blocks.1", 3, 3), (NET, None, None, None)]
    assert one["items"][0]["movements"][0]["concept"] == one["items"][0]["movements"][2]["concept"] == 1
    assert [len(axis["movements"]) for axis in one["items"]] == [3, 1, 0]


def test_a_walk_is_a_picture_that_may_be_kept(http, sets):
    answer = http.get(f"/v1/directions/{sets[1]}/walk")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert Image.open(io.BytesIO(answer.content)).size == (72, 8)
    where = {"axis": 1, "sigma": "-1..1", "steps": 3, "seed": 5, "format": "png"}
    pixels = np.asarray(Image.open(io.BytesIO(http.get(f"/v1/directions/{sets[1]}/walk", params=where).content)))
    assert pixels[0, ::8, 0].tolist() == [10, 130, 250]
    large = http.get(f"/v1/directions/{sets[1]}/walk", params=where | {"size": 16})
    assert Image.open(io.BytesIO(large.content)).size == (48, 16)
    version = answer.headers["x-rosetta-version"]
    kept = http.get(f"/v1/directions/{sets[1]}/walk", params={"version": version})
    assert "immutable" in kept.headers["cache-control"]
    again = http.get(f"/v1/directions/{sets[1]}/walk", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("where", "status", "text"),
    [
        ({"axis": 3}, 404, "axes 0 to 2"),
        ({"sigma": "2..-2"}, 422, "-2..2"),
        ({"sigma": "all"}, 422, "write it like -2..2"),
        ({"steps": 1}, 422, "2 to 33"),
        ({"translation": 99}, 404, "no translation 99"),
        ({"seed": 9}, 503, "no worker"),
    ],
)
def test_walks_that_are_not_to_be_had(http, sets, where, status, text):
    answer = http.get(f"/v1/directions/{sets[1]}/walk", params=where)
    assert answer.status_code == status
    assert text in answer.json()["error"]["message"]


def test_the_job(http, sets):
    answer = http.post("/v1/directions", json={"generator": "face generator", "axes": 4, "models": ["lite0"]})
    job = answer.json()
    assert (answer.status_code, job["kind"]) == (202, "directions")
    wanted = job["parameters"]
    assert (wanted["generator"], wanted["models"], wanted["axes"], wanted["samples"]) == (GAN, [NET], 4, 2000)
    for body, status in (({"generator": NET}, 422), ({"generator": GAN, "layer": "fc"}, 404), ({}, 422)):
        assert http.post("/v1/directions", json=body).status_code == status


def test_the_page(http, sets):
    page = http.get(f"/directions/{GAN}").text
    assert "25.0%" in page
    assert 'href="/concepts/1"' in page
    assert f"\N{DOWNWARDS ARROW} {NET} 3" in page
    assert f"{NET} 4" not in page  # it moves no more than along random directions
    assert f"/v1/directions/{sets[1]}/walk?size=192&amp;axis=0&amp;seed=0" in page
    older = http.get(f"/directions/{GAN}", params={"id": sets[0], "axis": 2, "seed": 4}).text
    assert f"/v1/directions/{sets[0]}/walk?size=192&amp;axis=2&amp;seed=4" in older
    assert http.get(f"/directions/{GAN}", params={"axis": 3}).status_code == 404
    assert http.get(f"/directions/{GAN}", params={"id": 99}).status_code == 404
    assert http.get(f"/directions/{NET}").status_code == 422
    assert http.get("/directions/nobody").status_code == 404
    assert f"/directions/{GAN}" in http.get(f"/models/{GAN}").text
    assert "/directions/" not in http.get(f"/models/{NET}").text


def test_a_button_has_them_found(http, sets):
    answer = http.post("/directions", data={"generator": GAN}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"][:6]) == (303, "/jobs/")
    refused = http.post("/directions", data={"generator": GAN}, headers={"sec-fetch-site": "cross-site"})
    assert refused.status_code == 401


def test_directions_that_are_removed_are_gone(http, engine, sets):
    with engine.begin() as conn:
        third = add_directions(conn, seed=9)
    assert http.delete(f"/v1/directions/{third}").status_code == 204
    assert http.get(f"/v1/directions/{third}").status_code == 404
    assert http.delete(f"/v1/directions/{third}").status_code == 404
