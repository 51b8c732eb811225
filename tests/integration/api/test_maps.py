"""Maps over HTTP: the list, what is on one, its points in binary, its picture, and the job."""

from __future__ import annotations

import io

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from service.database import schema
from service.pictures import scatter
from tests.integration.api.mapping import add_map
from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT

ALIVE = 13 + 12 + 9 + 10 + 6


@pytest.fixture(scope="module")
def maps(http, engine) -> list[int]:
    """Two maps of `faces`; and the zoo's concepts are {gan 8, net 3, clip 5} and {gan 9, net 4}."""
    with engine.begin() as conn:
        return [add_map(conn, "faces", version, seed=version) for version in (1, 2)]


@pytest.fixture(scope="module")
def about(http, maps):
    return http.get(f"/v1/maps/{maps[1]}").json()


def planes(body: bytes) -> dict[str, np.ndarray]:
    kinds = {"x": "<f4", "y": "<f4", "unit": "<i4", "concept": "<i4", "model": "<u2", "layer": "<u2"}
    count, start, found = len(body) // 20, 0, {}
    for name, kind in kinds.items():
        found[name] = np.frombuffer(body, kind, count, start)
        start += found[name].nbytes
    assert start == len(body)
    return found


def test_the_list_has_the_newest_first(http, maps):
    page = http.get("/v1/maps", params={"probe": "faces"}).json()
    assert [(one["id"], one["version"]) for one in page["items"]] == [(maps[1], 2), (maps[0], 1)]
    assert page["items"][0]["models"] == []
    first = http.get("/v1/maps", params={"limit": 1}).json()
    assert [one["id"] for one in first["items"]] == [maps[1]]
    rest = http.get("/v1/maps", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in rest["items"]] == [maps[0]]
    assert http.get("/v1/maps", params={"probe": "photos"}).json()["items"] == []
    assert http.get("/v1/maps", params={"probe": "nowhere"}).status_code == 404


def test_one_map_says_what_is_on_it(about):
    assert [(model["name"], model["units"]) for model in about["models"]] == [
        (GAN, 13),
        (NET, 12),
        (CLIP, 9),
        (VIT, 10),
        (AGE, 6),
    ]
    assert about["models"][0]["layers"] == [{"name": "main.2", "first_unit": 0}, {"name": "main.8", "first_unit": 8}]
    assert (about["bounds"]["left"], about["bounds"]["top"]) == (-9, 9)
    assert (about["units"], about["version"], about["concept_version"]) == (ALIVE, 2, 1)


def test_points_are_those_of_the_store(http, engine, maps, about):
    answer = http.get(f"/v1/maps/{maps[1]}/points")
    found = planes(answer.content)
    with engine.connect() as conn:
        columns = schema.unit_map_points.c
        stored = conn.execute(
            sa.select(schema.models.c.name, columns.unit, columns.x, columns.y)
            .join(schema.models)
            .where(columns.map_id == maps[1])
        ).all()
        members = schema.concept_members
        columns = schema.models.c.name, members.c.unit, members.c.concept_id
        rows = conn.execute(sa.select(*columns).join_from(members, schema.models))
        concepts = {(name, unit): concept for name, unit, concept in rows}
    names = [about["models"][place]["name"] for place in found["model"]]
    units = found["unit"].tolist()
    assert sorted(zip(names, units, found["x"], found["y"], strict=True)) == sorted(map(tuple, stored))
    assert (GAN, DEAD) not in set(zip(names, units, strict=True))
    layers = [
        about["models"][m]["layers"][place]["name"] for m, place in zip(found["model"], found["layer"], strict=True)
    ]
    assert {layer for name, unit, layer in zip(names, units, layers, strict=True) if name == GAN and unit < 8} == {
        "main.2"
    }
    assert {layer for name, unit, layer in zip(names, units, layers, strict=True) if name == GAN and unit >= 8} == {
        "main.8"
    }
    expected = [concepts.get(key, -1) for key in zip(names, units, strict=True)]
    assert found["concept"].tolist() == expected
    assert sum(concept >= 0 for concept in expected) == 5


def test_points_are_kept(http, maps, about):
    path = f"/v1/maps/{maps[1]}/points"
    plain = http.get(path, headers={"accept-encoding": "identity"})
    packed = http.get(path, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content  # unpacked by the client
    assert len(plain.content) == 20 * ALIVE
    assert plain.headers["cache-control"] == "private, no-cache"
    version = about["points_version"]
    kept = http.get(path, params={"version": version})
    assert "immutable" in kept.headers["cache-control"]
    assert "immutable" not in http.get(path, params={"version": "other"}).headers["cache-control"]
    again = http.get(path, headers={"if-none-match": kept.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(path, headers={"if-none-match": '"other"'}).status_code == 200


def test_new_concepts_are_new_points_of_the_same_map(http, engine, maps, about):
    with engine.begin() as conn:
        faces = schema.concept_versions.c.probe_set_id
        numbers = {"version": 2, "resolution": 0.5, "q_value": 0.05, "seed": 0, "stability_seeds": 10, "pairs": 0}
        if "k" in schema.concept_versions.c:
            numbers["k"] = 1
        version = conn.scalar(
            sa.insert(schema.concept_versions)
            .values(probe_set_id=sa.select(faces).limit(1).scalar_subquery(), code_version="1", **numbers)
            .returning(schema.concept_versions.c.id)
        )
    try:
        changed = http.get(f"/v1/maps/{maps[1]}").json()
        assert changed["concept_version"] == 2
        assert changed["points_version"] != about["points_version"]
        found = planes(http.get(f"/v1/maps/{maps[1]}/points").content)
        assert set(found["concept"].tolist()) == {-1}
    finally:
        with engine.begin() as conn:
            conn.execute(sa.delete(schema.concept_versions).where(schema.concept_versions.c.id == version))


@pytest.mark.parametrize("colour", scatter.COLOURS)
def test_a_picture_has_every_colour(http, maps, colour):
    answer = http.get(f"/v1/maps/{maps[1]}/picture", params={"colour": colour, "size": 400})
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (400, 266)
    pixels = np.asarray(picture).reshape(-1, 4)
    shown = {tuple(map(int, pixel[:3])) for pixel in pixels[pixels[:, 3] == 255]}
    expected = {
        "model": scatter.PALETTE[:5],
        "layer": (scatter.RAMP[0], scatter.RAMP[-1]),
        "concept": scatter.PALETTE[:2],
    }[colour]
    for tint in expected:
        assert any(np.abs(np.subtract(scatter._rgb(tint), one)).max() <= 2 for one in shown), tint
    assert (pixels[:, 3] == 0).mean() > 0.5  # no ground


def test_a_picture_of_some_models_and_of_a_concept(http, maps):
    def drawn(**params):
        pixels = np.asarray(Image.open(io.BytesIO(http.get(f"/v1/maps/{maps[1]}/picture", params=params).content)))
        return pixels[pixels[..., 3] > 200]

    everything, some = drawn(), drawn(model=[GAN, AGE])
    assert 0 < len(some) < len(everything)
    assert not (np.abs(some[:, :3].astype(int) - scatter._rgb(scatter.PALETTE[1])).max(axis=1) < 3).any()
    raised = drawn(concept=1)
    assert 0 < len(raised) < len(everything)  # the others are pale
    assert http.get(f"/v1/maps/{maps[1]}/picture", params={"concept": 999}).status_code == 404
    assert http.get(f"/v1/maps/{maps[1]}/picture", params={"colour": "taste"}).status_code == 422


def test_a_map_that_is_not_there(http, maps):
    for path in ("", "/points", "/picture"):
        answer = http.get(f"/v1/maps/9999{path}")
        assert (answer.status_code, "no map 9999" in answer.json()["error"]["message"]) == (404, True)
    assert http.get("/v1/maps/99999999999").status_code == 422


def test_the_job(http):
    job = http.post("/v1/maps", json={"probe": "faces", "min_dist": 0.3})
    assert job.status_code == 202
    assert (job.json()["kind"], job.json()["progress_total"]) == ("map", ALIVE)
    assert job.json()["parameters"] == {"probe": "faces", "n_neighbors": 15, "min_dist": 0.3, "seed": 0}
    assert http.post("/v1/maps", json={"probe": "faces", "min_dist": 0.3}).json()["id"] == job.json()["id"]
    assert http.post("/v1/maps", json={"probe": "faces", "min_dist": 7}).status_code == 422
    assert http.post("/v1/maps", json={"probe": "faces", "distance": 7}).status_code == 422
    assert http.post("/v1/maps", json={"probe": "nowhere"}).status_code == 404


def test_a_model_that_is_removed_leaves_the_map(http, engine, maps, about):
    with engine.connect() as conn, conn.begin() as undone:
        conn.execute(sa.delete(schema.models).where(schema.models.c.name == AGE))
        left = conn.scalar(sa.select(sa.func.count()).where(schema.unit_map_points.c.map_id == maps[1]))
        undone.rollback()
    assert left == ALIVE - 6
