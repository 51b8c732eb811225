"""The job `cluster`, and questions about the concepts that it stores."""

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from rosetta.errors import InvalidRequest, NotFound
from service.api.app import create_app
from service.database import schema
from service.queries import concepts, labels
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_cluster import submit_cluster
from service.submit_register import submit_register
from tests.integration.database import rows


@pytest.fixture(scope="module")
def zoo(engine):
    """Models a, b and c of 10 units: units 0 to 5 are best buddies in all three, 6 and 7 in a and b (r = 1/2)."""
    with engine.begin() as connection:
        a, b, c = (rows.add_model(connection, name, 10) for name in "abc")
        probe_set = rows.add_probe_set(connection, "planted")
        for model in (a, b, c):
            rows.add_profile(connection, probe_set, model, 10)
        rows.add_pair(connection, probe_set, a, b, 10, buddies=8, keep=1)
        rows.add_pair(connection, probe_set, a, c, 10, buddies=6, keep=1)
        rows.add_pair(connection, probe_set, b, c, 10, buddies=6, keep=1, q_values=(0.04, 0.03))


@pytest.fixture(scope="module")
def found(engine, celery, worker, zoo):
    return worker(submit_cluster(engine, celery, probe="planted"))


@pytest.fixture
def conn(engine, found):
    with engine.connect() as connection:
        yield connection


def test_what_is_planted_is_found(conn, found):
    assert found.result == {"concepts": 8, "pairs": 20, "version": 1, "labels": 0}
    listed = concepts.list_concepts(conn, probe="planted").items
    assert [(one.models, one.units) for one in listed] == [(("a", "b", "c"), 3)] * 6 + [(("a", "b"), 2)] * 2
    whole = concepts.get_concept(conn, listed[0].id)
    assert [(member.model, member.unit) for member in whole.members] == [("a", 0), ("b", 0), ("c", 0)]
    assert [(member.layer, member.channel) for member in whole.members] == [("block.0", 0)] * 3
    assert (whole.cohesion, whole.stability, whole.version) == (0.5, 1.0, 1)
    assert whole.q_value == pytest.approx(0.04)  # of the weakest pair, the greater of both directions
    assert {member.strength for member in whole.members} == {0.5}


def test_pages_and_filters(conn):
    pages, cursor = [], None
    while True:
        page = concepts.list_concepts(conn, probe="planted", limit=3, cursor=cursor)
        pages.append([one.id for one in page.items])
        if (cursor := page.next_cursor) is None:
            break
    assert [len(page) for page in pages] == [3, 3, 2]
    everything = [one.id for one in concepts.list_concepts(conn).items]
    assert [one for page in pages for one in page] == everything
    assert len(concepts.list_concepts(conn, min_models=3).items) == 6
    assert len(concepts.list_concepts(conn, model="c").items) == 6
    for order in ("cohesion", "stability", "units"):
        assert {one.id for one in concepts.list_concepts(conn, order=order).items} == set(everything)


def test_what_is_not_there(conn):
    with pytest.raises(NotFound, match="versions 1 to 1, not 7"):
        concepts.list_concepts(conn, probe="planted", version=7)
    with pytest.raises(NotFound, match="no concept 99999"):
        concepts.get_concept(conn, 99999)
    with pytest.raises(NotFound):
        concepts.get_concept(conn, 2**40)
    with pytest.raises(InvalidRequest, match="name the probe set too"):
        concepts.list_concepts(conn, version=1)
    with pytest.raises(NotFound):
        concepts.list_concepts(conn, probe="nowhere")


def test_the_same_again_is_answered_at_once_and_other_numbers_are_a_new_version(engine, celery, worker, conn, found):
    assert submit_cluster(engine, celery, probe="planted").id == found.id
    with engine.begin() as connection:
        labels.add_label(connection, "planted", concept=concepts.list_concepts(conn, probe="planted").items[-1].id)
    stricter = worker(submit_cluster(engine, celery, probe="planted", q_value=0.025))
    assert (stricter.result["version"], stricter.result["labels"]) == (2, 1)
    newest_label = labels.list_labels(conn, kind="person").items[0]
    assert newest_label.concept == concepts.list_concepts(conn, probe="planted").items[-1].id
    newest = concepts.list_concepts(conn, probe="planted").items
    assert {one.version for one in newest} == {2}
    assert all(one.models != ("b", "c") for one in newest)  # b and c meet through a alone
    assert len(concepts.list_concepts(conn, probe="planted", version=1).items) == 8
    views = sa.text("SELECT version, count(*), bool_or(is_newest) FROM analytics.concepts GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in conn.execute(views)] == [(1, 8, False), (2, 8, True)]
    members = sa.text(
        "SELECT model, layer, unit, channel FROM analytics.concept_members WHERE version = 1 ORDER BY unit"
    )
    assert conn.execute(members).first() in [("a", "block.0", 0, 0), ("b", "block.0", 0, 0), ("c", "block.0", 0, 0)]


@pytest.mark.parametrize(
    "numbers",
    [{"resolution": 0.0}, {"resolution": 1.0}, {"q_value": 0.0}, {"q_value": 1.5}, {"k": 0}, {"k": 2}, {"seed": -1}],
)
def test_numbers_that_are_none(engine, celery, zoo, numbers):
    with pytest.raises(InvalidRequest):
        submit_cluster(engine, celery, probe="planted", **numbers)


def test_nothing_mined_yet(engine, celery, zoo):
    with engine.begin() as connection:
        rows.add_probe_set(connection, "empty")
    with pytest.raises(InvalidRequest, match="rosetta mine --probe empty"):
        submit_cluster(engine, celery, probe="empty")
    with engine.connect() as connection, pytest.raises(NotFound, match="rosetta concepts find --probe empty"):
        concepts.list_concepts(connection, probe="empty")


def test_over_http(settings, found):
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as http:
        page = http.get("/v1/concepts", params={"probe": "planted", "version": 1, "min_models": 3}).json()
        assert len(page["items"]) == 6
        one = http.get(f"/v1/concepts/{page['items'][0]['id']}").json()
        assert [member["model"] for member in one["members"]] == ["a", "b", "c"]
        assert http.get("/v1/concepts/99999").status_code == 404
        assert http.get("/v1/concepts", params={"order": "beauty"}).status_code == 422
        job = http.post("/v1/concepts", json={"probe": "planted"})
        assert (job.status_code, job.json()["id"], job.json()["kind"]) == (202, found.id, "cluster")


def test_mining_finds_the_concepts_of_real_networks(engine, settings, celery, worker):
    for name in ("dcgan-faces", "mobilenet-v2", "age-net"):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", "dcgan-faces", count=40, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=["dcgan-faces", "mobilenet-v2", "age-net"]))
    with engine.connect() as connection:
        columns = schema.jobs.c
        called_for = connection.execute(
            sa.select(columns.id, columns.parameters).where(columns.state == "queued", columns.kind == "cluster")
        ).one()
    assert called_for.parameters == {"probe": "faces", "resolution": 0.2, "q_value": 0.05, "k": 3, "seed": 0}
    worker(called_for)
    with engine.connect() as connection:
        listed = concepts.list_concepts(connection, probe="faces").items
        assert len(listed) >= 3
        for one in listed:
            assert one.q_value < 0.05
            assert one.cohesion > 0.2
            assert len(one.models) >= 2
            assert len(concepts.get_concept(connection, one.id).members) == one.units
