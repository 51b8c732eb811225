"""The map page as it is served: what it says where there is a map, where there is none, and of wrong addresses."""

from __future__ import annotations

import json
import re

import pytest
import sqlalchemy as sa

from service import jobs
from service.database import schema
from service.queries.labels import add_label
from tests.integration.api.mapping import add_map
from tests.integration.api.zoo import AGE, DEAD, GAN, NET

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def page(http, engine):
    with engine.begin() as conn:
        add_map(conn, "faces", 1)
        add_map(conn, "faces", 2)

    def get(**params):
        answer = http.get("/map", params=params, headers=HTML)
        return answer.status_code, answer.text

    return get


def data(text: str) -> dict:
    """What the script is given."""
    found = re.search(r'<script type="application/json" id="map-data">(.*?)</script>', text)
    assert found
    return json.loads(found[1])


def test_the_newest_map_of_the_newest_probe_set(page):
    status, text = page()
    assert status == 200
    given = data(text)
    assert given["probe"] == "faces"
    assert given["points"].startswith("/v1/maps/2/points?version=")
    assert [model["name"] for model in given["models"]][:2] == [GAN, NET]
    assert given["models"][0]["layers"] == [["main.2", 0], ["main.8", 8]]
    assert [one["id"] for one in given["concepts"]] == [1, 2]
    assert data(page(version="1")[1])["points"].startswith("/v1/maps/1/")
    assert 'class="map-picture" src="/v1/maps/2/picture?colour=model"' in text


def test_the_points_it_names_may_be_kept(http, page):
    answer = http.get(data(page()[1])["points"])
    assert "immutable" in answer.headers["cache-control"]


def test_models_that_are_shown(page):
    _, text = page(model=[NET, AGE], colour="layer")
    assert text.count("checked>") == 2
    assert f"picture?colour=layer&amp;model={NET}&amp;model={AGE}" in text
    status, text = page(model="efficientnet")
    assert (status, "did you mean" in text) == (404, True)


def test_a_concept_and_a_unit_stand_out(page):
    _, text = page(concept="1")
    assert data(text)["raised"] == [[2, 5], [0, 8], [1, 3]]
    assert "picture?colour=model&amp;concept=1" in text
    assert page(concept="999")[0] == 404
    _, text = page(unit=f"{GAN}/main.8:1")
    assert data(text)["found"] == [0, 9]
    _, text = page(unit=f"{GAN}/{DEAD}")
    assert data(text)["found"] is None
    assert "is not on this map: it is dead" in text
    assert page(unit=f"{GAN}/999")[0] == 404
    assert page(unit="nothing")[0] == 422


def test_links_lead_here(http, page):
    assert f'href="/map?unit={GAN}%2F9&amp;probe=faces"' in http.get(f"/units/{GAN}/9", headers=HTML).text
    assert 'href="/map?concept=1"' in http.get("/concepts/1", headers=HTML).text


def test_wrong_addresses(page):
    assert page(version="9")[0] == 404
    assert page(version="one")[0] == 422
    assert page(probe="nowhere")[0] == 404
    assert page(colour="taste")[0] == 422


def test_where_there_is_no_map_it_can_be_made(http, page, engine):
    status, text = page(probe="photos")
    assert (status, "No map of photos yet" in text) == (200, True)
    assert '<form method="post" action="/map?probe=photos">' in text
    foreign = {"sec-fetch-site": "cross-site"}
    assert http.post("/map", params={"probe": "photos"}, headers=foreign, follow_redirects=False).status_code == 401
    made = http.post("/map", params={"probe": "photos"}, follow_redirects=False)
    assert made.status_code == 303
    number = int(made.headers["location"].rpartition("/")[2])
    _, text = page(probe="photos")
    assert f'data-job="{number}"' in text
    assert "Make the map" not in text
    assert "No worker is running" in text
    with engine.begin() as conn:
        conn.execute(
            sa.update(schema.jobs).where(schema.jobs.c.id == number).values(state="failed", error_message="no <memory>")
        )
    _, text = page(probe="photos")
    assert "could not be made: no &lt;memory&gt;" in text
    assert "Make the map" in text
    with engine.connect() as conn:
        assert jobs.get(conn, number).parameters["probe"] == "photos"


def test_models_that_were_mined_later_are_named(page, engine):
    points, maps = schema.unit_map_points, schema.unit_maps
    with engine.begin() as conn:
        age = conn.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == AGE))
        newest = conn.scalar(sa.select(sa.func.max(maps.c.id)))
        conn.execute(sa.delete(points).where(points.c.map_id == newest, points.c.model_id == age))
    _, text = page()
    assert f"{AGE} was mined after this map was made" in text
    assert "Make it anew" in text
    assert "was mined after" not in page(version="1")[1]


def test_a_name_is_text(page, engine):
    """A model's name cannot hold markup, a concept's label can."""
    with engine.begin() as conn:
        add_label(conn, "</script><b>bold</b>", concept=1)
    _, text = page(colour="concept")
    assert "<b>bold" not in text
    assert data(text)["concepts"][0]["name"].startswith("</script><b>bold</b>")


def test_nothing_mined_at_all(http, engine, page):
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.profiles))
    _, text = page()
    assert "Nothing to map yet" in text
