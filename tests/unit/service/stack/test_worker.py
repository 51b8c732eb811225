"""The worker's supervisor, short of a whole stack: its sweeper, and what it waits for."""

import logging
import os
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from rosetta.errors import Unavailable
from service import jobs
from service.database.engine import make_engine
from service.settings import Settings
from service.stack import worker

AWAY = "postgresql://u:p@127.0.0.1:1/db"


@pytest.fixture
def stop():
    event = threading.Event()
    yield event
    event.set()


def run_sweeper(settings, stop, until):
    sweeper = worker.Sweeper(settings, stop)
    sweeper.start()
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline
        assert sweeper.is_alive()
        time.sleep(0.01)
    stop.set()
    sweeper.join(10)
    return sweeper


def test_it_rings_again_for_what_nobody_rang_for(settings, engine, stop):
    job = jobs.create(engine, "register", "a-key", {"name": "m", "source": "demo:m"}, [{}])
    rung = sa.text("SELECT rung_at FROM job_parts WHERE job_id = :job")

    def rang():
        with engine.connect() as connection:
            return connection.scalar(rung, {"job": job})

    assert rang() is None
    sweeper = run_sweeper(settings.model_copy(update={"sweep_s": 0.05}), stop, rang)
    assert sweeper.failure is None


def test_a_database_that_is_away_does_not_end_it(stop, caplog):
    settings = Settings(database_url=AWAY, broker_url="redis://127.0.0.1:1", sweep_s=0.01)
    with caplog.at_level(logging.WARNING):
        sweeper = run_sweeper(settings, stop, lambda: caplog.text.count("cannot sweep") > 2)
    assert sweeper.failure is None


def test_an_error_of_our_own_is_kept_for_the_supervisor(empty_database_url, redis_url, stop):
    sweeper = worker.Sweeper(Settings(database_url=empty_database_url, broker_url=redis_url), stop)
    sweeper.start()
    sweeper.join(20)
    assert isinstance(sweeper.failure, sa.exc.ProgrammingError)


def test_a_worker_is_seen_in_the_database(settings, engine, stop):
    seen = sa.text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name")

    def is_seen():
        with engine.connect() as connection:
            return connection.scalar(seen, {"name": worker.SWEEPER}) == 1

    run_sweeper(settings, stop, is_seen)


def test_a_database_without_the_schema_is_one_clear_line(empty_database_url, redis_url, stop):
    with pytest.raises(Unavailable, match=r"schema is empty, and this worker needs \d+: run `rosetta migrate`"):
        worker._await_schema(Settings(database_url=empty_database_url, broker_url=redis_url), stop)


def test_it_waits_for_a_database_that_is_not_up_yet(stop, monkeypatch, caplog):
    monkeypatch.setattr(worker, "_DATABASE_RETRY_S", 0.01)
    waiting = threading.Thread(target=worker._await_schema, args=(Settings(database_url=AWAY), stop))
    waiting.start()
    while caplog.text.count("trying again") < 2:
        assert waiting.is_alive()
        time.sleep(0.01)
    stop.set()
    waiting.join(10)
    assert not waiting.is_alive()


def test_it_imports_no_torch():
    program = "import sys, service.local, service.stack.worker, service.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, env=os.environ).returncode == 0


def test_the_engine_of_the_sweeper_is_closed(settings, engine, stop):
    run_sweeper(settings, stop, lambda: True)
    probe = make_engine(settings.database_url)
    with probe.connect() as connection:
        for _ in range(100):
            left = connection.scalar(
                sa.text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"),
                {"name": worker.SWEEPER},
            )
            if not left:
                break
            time.sleep(0.02)
    probe.dispose()
    assert left == 0
