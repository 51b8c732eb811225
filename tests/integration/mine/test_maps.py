"""The job `map`: from sketches in the store to places on a map, and after every mine."""

from __future__ import annotations

import signal
import subprocess

import numpy as np
import pytest
import sqlalchemy as sa

from rosetta.errors import InvalidRequest, NotFound
from service import jobs, submit_map
from service.database import schema, sketches
from service.database.copy import copy_records, read_records
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_register import submit_register
from tests.integration.database import rows
from workers.pipelines import map as map_

MODELS, CLUSTERS, MEMBERS = ("a", "b"), 8, 12
UNITS = CLUSTERS * MEMBERS
SKETCH = np.dtype(
    [(name, "i4") for name in ("probe_set_id", "model_id", "unit")] + [("sketch", "f2", schema.SKETCH_DIMENSIONS)]
)
POINT = np.dtype([("model_id", "i4"), ("unit", "i4"), ("x", "f4"), ("y", "f4")])


@pytest.fixture(scope="module")
def zoo(engine) -> int:
    """Models a and b on probe set `planted`: unit u of both is of cluster u mod 8, but for unit 5 of a, dead."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, schema.SKETCH_DIMENSIONS))
    with engine.begin() as connection:
        probe_set = rows.add_probe_set(connection, "planted")
        sketches.ensure_partition(connection, probe_set)
        for name in MODELS:
            model = rows.add_model(connection, name, UNITS)
            dead = (5,) if name == "a" else ()
            rows.add_profile(connection, probe_set, model, UNITS, dead)
            records = np.zeros(UNITS, SKETCH)
            records["probe_set_id"], records["model_id"], records["unit"] = probe_set, model, np.arange(UNITS)
            vectors = centres[np.arange(UNITS) % CLUSTERS] + rng.normal(size=(UNITS, schema.SKETCH_DIMENSIONS))
            records["sketch"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            copy_records(connection, schema.sketches, np.delete(records, list(dead)))
    return probe_set


@pytest.fixture(scope="module")
def made(engine, celery, worker, zoo):
    return worker(submit_map.submit_map(engine, celery, probe="planted"))


def points(engine, map_id):
    with engine.connect() as connection:
        return read_records(connection, schema.unit_map_points, POINT, schema.unit_map_points.c.map_id == map_id)


def test_what_is_planted_lies_together_across_models(engine, made):
    assert made.kind == "map"
    assert made.result == {"units": 2 * UNITS - 1, "map": 1, "version": 1}
    found = points(engine, 1)
    assert len(found) == 2 * UNITS - 1
    assert not ((found["model_id"] == 1) & (found["unit"] == 5)).any()
    places = np.stack([found["x"], found["y"]], axis=1)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    cluster = found["unit"] % CLUSTERS
    nearest = np.argsort(distance, axis=1)[:, :5]
    assert (cluster[nearest] == cluster[:, None]).mean() > 0.9
    assert (found["model_id"][nearest] != found["model_id"][:, None]).mean() > 0.3  # models mix
    with engine.connect() as connection:
        row = connection.execute(sa.select(schema.unit_maps)).one()
    assert (row.probe_set_id, row.units, row.n_neighbors, row.min_dist, row.seed) == (1, 2 * UNITS - 1, 15, 0.1, 0)
    assert row.job_id == made.id


def test_the_same_again_is_answered_at_once_and_other_numbers_are_a_new_version(engine, celery, worker, made):
    again = submit_map.submit_map(engine, celery, probe="planted")
    assert (again.id, again.already_done) == (made.id, True)
    other = worker(submit_map.submit_map(engine, celery, probe="planted", n_neighbors=5, min_dist=0.5, seed=1))
    assert other.result["version"] == 2
    assert len(points(engine, other.result["map"])) == len(points(engine, 1))  # the first is still there
    views = sa.text("SELECT version, is_newest, count(*) FROM analytics.unit_map_points GROUP BY 1, 2 ORDER BY 1")
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(views)] == [(1, False, 191), (2, True, 191)]


def test_two_jobs_of_the_same_inputs_are_one(engine, celery, made):
    waiting = submit_map.submit_map(engine, celery, probe="planted", seed=9)
    assert submit_map.submit_map(engine, celery, probe="planted", seed=9).id == waiting.id


@pytest.mark.parametrize(
    "numbers", [{"n_neighbors": 1}, {"n_neighbors": 201}, {"min_dist": -0.1}, {"min_dist": 1.0}, {"seed": -1}]
)
def test_numbers_that_are_none(engine, celery, zoo, numbers):
    with pytest.raises(InvalidRequest, match="between"):
        submit_map.submit_map(engine, celery, probe="planted", **numbers)


def test_nothing_to_lay_out(engine, settings, celery, zoo):
    with engine.begin() as connection:
        empty = rows.add_probe_set(connection, "empty")
    with pytest.raises(InvalidRequest, match="rosetta mine --probe empty"):
        submit_map.submit_map(engine, celery, probe="empty")
    submit_map.submit_map_unasked(engine, settings, probe="empty")  # no error of a mine
    with engine.begin() as connection:
        rows.add_profile(connection, empty, rows.add_model(connection, "dead", 2), 2, dead=(0, 1))
    with pytest.raises(InvalidRequest, match="no unit on it is alive"):
        submit_map.submit_map(engine, celery, probe="empty")
    with pytest.raises(NotFound):
        submit_map.submit_map(engine, celery, probe="nowhere")


def test_more_units_than_a_map_has(engine, celery, zoo, monkeypatch):
    monkeypatch.setattr(submit_map, "MOST_UNITS", 190)
    with pytest.raises(InvalidRequest, match="up to 190 units; 'planted' has 191 live ones"):
        submit_map.submit_map(engine, celery, probe="planted")


def test_every_mine_is_followed_by_a_map_of_all_that_was_mined(engine, settings, celery, worker, monkeypatch):
    for name in ("dcgan-faces", "age-net"):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        probe_set = add_generator_probe(connection, "faces", "dcgan-faces", count=6, seed=0)

    def queued():
        kind, state = schema.jobs.c.kind == "map", schema.jobs.c.state == "queued"
        of_faces = schema.jobs.c.parameters["probe"].astext == probe_set.name
        with engine.connect() as connection:
            rows = connection.execute(sa.select(schema.jobs.c.id).where(kind, state, of_faces).order_by("id"))
            return [jobs.get(connection, row.id) for row in rows.all()]

    monkeypatch.setattr(submit_map, "MOST_UNASKED", 1000)
    worker(submit_mine(engine, celery, settings, probe="faces", models=["age-net"], sketch_only=True))
    (first,) = queued()
    # Not at once: what people wait for goes first, and then the sweeper rings.
    rung = sa.select(sa.func.clock_timestamp() - schema.job_parts.c.rung_at)
    with engine.connect() as connection:
        ago = connection.scalar(rung.where(schema.job_parts.c.job_id == first.id)).total_seconds()
    assert 0 < settings.stale_s - ago <= submit_map.DELAY_S
    worker(submit_mine(engine, celery, settings, probe="faces", models=["dcgan-faces", "age-net"]))
    assert [job.id for job in queued()] == [first.id]  # with the generator they are too many
    monkeypatch.undo()
    submit_map.submit_map_unasked(engine, settings, probe="faces")
    _, second = queued()
    statistics = schema.unit_statistics.c
    with engine.connect() as connection:
        of_set = sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces").scalar_subquery()
        live = sa.select(sa.func.count()).where(statistics.probe_set_id == of_set, ~statistics.dead)
        assert second.progress_total == connection.scalar(live) > first.progress_total


def test_a_job_that_is_cancelled_ends_the_layout(engine, celery, worker, zoo, monkeypatch):
    """Its process is stopped while it lays out, and nothing is stored."""
    job = submit_map.submit_map(engine, celery, probe="planted", seed=77)
    begun = []

    class Cancelled(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            begun.append(self)
            jobs.cancel(engine, job.id)

    monkeypatch.setattr(map_.subprocess, "Popen", Cancelled)
    with pytest.raises(AssertionError):  # of the fixture: the job is not done
        worker(job)
    assert [process.returncode for process in begun] == [-signal.SIGKILL]
    with engine.connect() as connection:
        assert jobs.get(connection, job.id).state == "cancelled"
        assert connection.scalar(sa.select(sa.func.count()).where(schema.unit_maps.c.seed == 77)) == 0


def test_a_layout_that_fails_says_why(engine, celery, worker, zoo, monkeypatch):
    job = submit_map.submit_map(engine, celery, probe="planted", seed=78)
    monkeypatch.setattr(map_.planar, "GIVEN", "elsewhere.npz")
    with pytest.raises(AssertionError, match="the layout failed: FileNotFoundError"):
        worker(job)
