"""The pages of jobs over the zoo that was mined on paper: which are shown, and what of one."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from service.database import schema
from tests.integration.api.zoo import GAN, insert


@pytest.fixture
def some(engine):
    """Jobs: a mine that failed, one that is queued, two for pictures; their ids."""
    wanted = (("mine", "failed"), ("mine", "queued"), ("pictures", "queued"), ("pictures", "failed"))
    parameters = {
        "probe": "faces",
        "models": [GAN],
        "keep": 0,
        "sketch_only": False,
        "unit": None,
        "layers": [],
        "in": "",
    }
    with engine.begin() as conn:
        ids = [
            insert(conn, schema.jobs, kind=kind, key=f"{place}", parameters=parameters, state=state, remaining=1)
            for place, (kind, state) in enumerate(wanted)
        ]
    yield ids
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.jobs).where(schema.jobs.c.id.in_(ids)))


def listed(page):
    assert page.status_code == 200
    return [int(job) for job in re.findall(r'<tr data-job="(\d+)"', page.text)][::-1]


def test_jobs_for_pictures_are_shown_to_who_asks_for_them(http, some):
    failed, queued, picture, no_picture = some
    assert listed(http.get("/jobs")) == [failed, queued]
    assert listed(http.get("/jobs?kind=all")) == some
    assert listed(http.get("/jobs?kind=pictures")) == [picture, no_picture]
    assert listed(http.get("/jobs?kind=pictures&state=failed")) == [no_picture]
    assert listed(http.get("/jobs?kind=mine&state=failed")) == [failed]
    assert listed(http.get("/jobs?state=queued")) == [queued]
    assert "No job of this kind is running" in http.get("/jobs?kind=mine&state=running").text
    assert http.get("/jobs?kind=cooking").status_code == 422
    home = http.get("/").text
    assert f'data-job="{queued}"' in home
    assert f'data-job="{picture}"' not in home


def test_the_states_are_counted_of_what_is_shown(http, some):
    def counts(path):
        return dict(re.findall(r">(\w+) <b>([\d,]+)</b></a>", http.get(path).text))

    assert counts("/jobs") == {"all": "2", "queued": "1", "running": "0", "done": "0", "failed": "1", "cancelled": "0"}
    assert counts("/jobs?kind=all")["all"] == "4"
    assert counts("/jobs?kind=pictures&state=failed")["queued"] == "1"
    assert (
        '<a href="/jobs?state=failed&amp;kind=pictures" aria-current="true">'
        in http.get("/jobs?kind=pictures&state=failed").text
    )


def test_the_api_filters_as_well(http, some):
    assert [job["id"] for job in http.get("/v1/jobs?kind=pictures&state=failed").json()["items"]] == [some[3]]
    assert [job["id"] for job in http.get("/v1/jobs").json()["items"]] == some[::-1]


def test_a_job_shows_what_was_asked_for_and_not_what_was_left_open(http, some):
    page = http.get(f"/jobs/{some[0]}").text
    names = re.findall(r"<dt>([^<]+)</dt>", page[page.index("Asked for") :])
    assert sorted(names) == ["keep", "models", "probe", "sketch only"]
    assert "null" not in page
    assert "[]" not in page


def test_where_there_are_but_jobs_for_pictures_the_list_says_so(http, some, engine):
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.jobs).where(schema.jobs.c.id.in_(some[:2])))
    page = http.get("/jobs").text
    assert 'No jobs but those that <a href="/jobs?kind=all">pages asked for</a>' in page
