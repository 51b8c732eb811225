"""However a job is planned and whoever does it, the same rows come out."""

import shutil
import time
import weakref

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from service import jobs
from service.broker import make_celery
from service.database import schema
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_register import submit_register
from workers.mining import miner
from workers.mining.mining_pass import MiningPass
from workers.mining.plan import SCRATCH_BYTES

DEMO = ("dcgan-faces", "efficientnet-lite0", "mobilenet-v2", "age-net")
UNITS, LAYERS = 2472, 18
IMAGES = 20


@pytest.fixture(scope="module")
def zoo(engine, settings, worker, celery):
    for name in DEMO:
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", "dcgan-faces", count=IMAGES, seed=0)


@pytest.fixture
def forget(engine, settings):
    """Makes everything mined as if it never was."""

    def run():
        shutil.rmtree(settings.thumbnails_dir)
        with engine.begin() as connection:
            for table in (schema.comparisons, schema.profiles):
                connection.execute(sa.delete(table))

    return run


@pytest.fixture(scope="module")
def stored(engine, settings):
    """Everything that was mined, in order; of coarse maps the files."""

    def read():
        queries = {
            "matches": "SELECT * FROM analytics.matches ORDER BY model, neighbour_model, unit, rank",
            "statistics": "SELECT * FROM analytics.unit_statistics ORDER BY model, unit",
            "exemplars": "SELECT * FROM analytics.exemplars ORDER BY model, unit, measure, rank",
            "sketches": "SELECT model_id, unit, sketch::real[] AS sketch FROM sketches ORDER BY 1, 2",
            "pairs": "SELECT model, neighbour_model, best_buddies, significant_best_buddies, chance_best_buddies "
            "FROM analytics.model_pairs ORDER BY 1, 2",
        }
        files = {path.name: np.load(path) for path in settings.thumbnails_dir.glob("maps/*")}
        with engine.connect() as connection:
            return {name: pd.read_sql(sa.text(query), connection) for name, query in queries.items()} | {"maps": files}

    return read


@pytest.fixture(scope="module")
def whole(engine, settings, worker, celery, zoo, stored):
    """One worker and memory for everything."""
    job = submit_mine(engine, celery, settings, probe="faces")
    worker(job)
    return stored()


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in ("matches", "statistics", "exemplars", "pairs"):
        assert len(found[name]) == len(expected[name]) > 0
    matches, wanted = found["matches"], expected["matches"]
    assert matches["correlation"].to_numpy() == pytest.approx(wanted["correlation"].to_numpy(), abs=1e-5)
    # One null maximum more or less than r moves q by 1 / 224, where age-net is the smaller of the pair.
    assert matches["q_value"].to_numpy() == pytest.approx(wanted["q_value"].to_numpy(), abs=5e-3)
    other = matches["neighbour_unit"] != wanted["neighbour_unit"]  # ties within the rounding, in another order
    assert other.mean() < 1e-3
    for name in ("mean", "std", "minimum", "maximum"):
        ours, theirs = found["statistics"][name].to_numpy(), expected["statistics"][name].to_numpy()
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert (found["statistics"]["dead"] == expected["statistics"]["dead"]).all()
    assert (found["exemplars"]["image"] == expected["exemplars"]["image"]).mean() > 0.999
    cosines = [np.dot(a, b) for a, b in zip(found["sketches"]["sketch"], expected["sketches"]["sketch"], strict=True)]
    assert min(cosines) > 0.999
    assert found["pairs"].iloc[:, 2:].to_numpy() == pytest.approx(expected["pairs"].iloc[:, 2:].to_numpy(), abs=2)
    assert found["maps"].keys() == expected["maps"].keys()
    for name, ours in found["maps"].items():
        theirs = expected["maps"][name]
        assert ours.shape == (IMAGES,)
        assert ours["step"] == pytest.approx(theirs["step"], rel=1e-3, abs=1e-6)
        assert ours["low"] == pytest.approx(theirs["low"], rel=1e-3, abs=1e-4)
        assert np.abs(ours["levels"].astype(int) - theirs["levels"]).max() <= 1


def parts_of(engine, job):
    with engine.connect() as connection:
        columns = schema.job_parts.c
        return connection.execute(sa.select(columns.payload).where(columns.job_id == job.id)).scalars().all()


def test_exemplars_are_of_all_live_units(whole):
    live = whole["statistics"].query("not dead")
    assert len(whole["statistics"]) == UNITS
    assert len(whole["exemplars"]) == len(live) * 2 * 9
    best = whole["exemplars"].query("measure == 'maximum' and rank == 1")
    assert best["value"].to_numpy() == pytest.approx(live["maximum"].to_numpy(), rel=1e-5, abs=1e-6)


def test_coarse_maps_are_of_all_units_and_images(whole, settings):
    channels = [file["low"].shape for file in whole["maps"].values()]
    assert len(channels) == LAYERS
    assert sum(count for _, count in channels) == UNITS
    assert all(max(file["levels"].shape[1:3]) <= 14 for file in whole["maps"].values())
    assert not list(settings.thumbnails_dir.rglob("*.part"))
    assert len(list(settings.thumbnails_dir.glob("images/*/*.webp"))) == IMAGES


def test_a_small_budget_takes_several_passes_and_gives_the_same_rows(
    engine, settings, worker, celery, whole, stored, forget, monkeypatch
):
    forget()
    alive, most = weakref.WeakSet(), []

    def counted(*arguments):
        most.append(len(alive))  # of the passes before, each with buffers of its own
        alive.add(made := MiningPass(*arguments))
        return made

    monkeypatch.setattr(miner, "MiningPass", counted)
    small = settings.model_copy(update={"memory_budget": SCRATCH_BYTES + 48 * 2**20})
    job = submit_mine(engine, celery, small, probe="faces")
    assert worker(job, small).progress_total >= 2 * IMAGES  # the images were seen more than once
    assert len(most) >= 2
    assert set(most) == {0}
    assert_same(stored(), whole)


def test_two_workers_share_a_job_and_give_the_same_rows(engine, settings, whole, stored, forget, real_workers):
    forget()
    celery = make_celery(settings.broker_url)
    with real_workers(2) as logs:
        job = submit_mine(engine, celery, settings, probe="faces", parts=4)
        payloads = parts_of(engine, job)
        assert len(payloads) == 4
        assert sorted(model for payload in payloads for model in payload["profiles"]) == [1, 2, 3, 4]
        deadline = time.monotonic() + 120
        while True:
            with engine.connect() as connection:
                now = jobs.get(connection, job.id)
            if now.state not in ("queued", "running"):
                break
            assert time.monotonic() < deadline, [log.read_text() for log in logs]
            time.sleep(0.1)
        assert now.state == "done", now.error_message
        assert all(f"job {job.id} part" in log.read_text() for log in logs)
    assert_same(stored(), whole)


def test_sketches_alone_are_those_of_the_whole_job(engine, settings, worker, celery, whole, stored, forget):
    forget()
    job = submit_mine(engine, celery, settings, probe="faces", models=DEMO[1:3], sketch_only=True)
    worker(job)
    found = stored()
    assert len(found["matches"]) == 0
    assert set(found["statistics"]["model"]) == set(DEMO[1:3])
    for name, keys in (("statistics", ["model", "unit"]), ("exemplars", ["model", "unit", "measure", "rank"])):
        same = found[name].merge(whole[name], on=keys, suffixes=("", "_whole"))
        assert len(same) == len(found[name]) > 0
    assert (same["image"] == same["image_whole"]).mean() > 0.999
    again = submit_mine(engine, celery, settings, probe="faces", models=DEMO[1:3], sketch_only=True)
    assert (again.id, again.already_done) == (job.id, True)
    # The rest, and the comparisons: what was sketched is not sketched again.
    job = submit_mine(engine, celery, settings, probe="faces")
    assert [len(payload["profiles"]) for payload in parts_of(engine, job)] == [2]
    worker(job)
    assert_same(stored(), whole)


def test_a_new_model_is_all_that_is_mined(engine, settings, worker, celery, whole, forget):
    """`rosetta mine --models NEW` against a mined probe set."""
    forget()
    worker(submit_mine(engine, celery, settings, probe="faces", models=DEMO[:3]))
    job = submit_mine(engine, celery, settings, probe="faces", models=DEMO[3:])
    (payload,) = parts_of(engine, job)
    assert payload["pairs"] == [[1, 4], [2, 4], [3, 4]]
    assert payload["profiles"] == [4]
    worker(job)
