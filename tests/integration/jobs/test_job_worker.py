"""Jobs done by real worker processes, and what is killed under them."""

from __future__ import annotations

import os
import signal
import time
from itertools import count

import pytest
import redis
import sqlalchemy as sa

from service import jobs
from service.broker import make_celery
from service.embedded import RedisServer
from tests.integration.jobs.conftest import LEASE_S, until

_keys = count()


def submit(engine, celery, *payloads):
    job_id = jobs.create(engine, "count", f"worker test {next(_keys)}", {}, payloads)
    jobs.ring(engine, celery, job_id)
    return job_id


@pytest.fixture
def quick(settings):
    return settings.model_copy(update={"stale_s": 1.0})


def over(job, job_id):
    return lambda: job(job_id).state not in ("queued", "running")


def pids(engine, job_id):
    with engine.connect() as connection:
        query = sa.text("SELECT DISTINCT pid FROM counted WHERE job_id = :job")
        return set(connection.scalars(query, {"job": job_id}))


def test_two_workers_share_the_parts(engine, celery, workers, job, rows):
    workers.start()
    workers.start()
    until(lambda: workers.log.exists() and workers.log.read_text().count("ready.") == 2, 30)
    job_id = submit(engine, celery, *[{"steps": 2, "step_s": 0.1}] * 8)
    until(over(job, job_id), 10)
    assert job(job_id).state == "done"
    assert job(job_id).result == {f"part {part}": 2 for part in range(8)}
    assert rows(job_id) == [(part, step) for part in range(8) for step in range(2)]
    assert len(pids(engine, job_id)) == 2


def test_a_running_job_shows_progress_and_stops_when_cancelled(engine, celery, workers, job, rows):
    workers.start()
    long = submit(engine, celery, {"steps": 6000, "step_s": 0.01})
    until(lambda: job(long).progress_done > 0, 20)
    seen = job(long)
    assert (seen.state, seen.progress_total) == ("running", 6000)
    assert seen.progress_note == f"step {seen.progress_done}"
    assert seen.eta_s > 5
    following = submit(engine, celery, {})
    jobs.cancel(engine, long)
    assert until(over(job, following), 5) < 2  # the one worker is free again
    assert job(long).state == "cancelled"
    assert rows(long) == []


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("refuse", "invalid_request", "no model 'x'; did you mean y?"),
        ("bug", "internal", "ZeroDivisionError: division by zero; see the worker's log"),
        ("memory", "out_of_memory", "lower ROSETTA_MEMORY_BUDGET"),
    ],
)
def test_reasons(engine, celery, workers, job, fault, code, message):
    workers.start()
    job_id = submit(engine, celery, {"fault": fault}, {"step_s": 0.3})
    until(over(job, job_id), 20)
    failed = job(job_id)
    assert (failed.state, failed.error_code) == ("failed", code)
    assert message in failed.error_message
    assert "\n" not in failed.error_message
    following = submit(engine, celery, {})
    until(over(job, following), 5)
    assert job(following).state == "done"  # the worker lives


def test_another_worker_takes_over_when_one_dies(engine, celery, workers, quick, job, rows):
    first = workers.start()
    job_id = submit(engine, celery, {"steps": 20, "step_s": 0.05})
    until(lambda: job(job_id).progress_done > 0, 20)
    workers.kill(first)
    workers.start()
    until(over(job, job_id), LEASE_S + 20, lambda: jobs.sweep(engine, celery, quick))
    assert job(job_id).state == "done"
    assert rows(job_id) == [(0, step) for step in range(20)]


def test_a_part_that_kills_its_workers_ends_in_a_reason(engine, celery, workers, quick, job):
    job_id = submit(engine, celery, {"fault": "die"})
    running = [workers.start()]

    def replace_the_dead():
        jobs.sweep(engine, celery, quick)
        if running[-1].poll() is not None:
            running.append(workers.start())

    until(over(job, job_id), 40, replace_the_dead)
    assert (
        job(job_id).error_message == "the worker died 3 times while doing a job of kind 'count'; see the worker's log"
    )
    assert len(running) == 4


def test_a_worker_that_is_asked_to_stop_gives_its_part_back(engine, celery, workers, quick, job, rows):
    worker = workers.start()
    job_id = submit(engine, celery, {"steps": 100, "step_s": 0.02})
    until(lambda: job(job_id).progress_done > 0, 20)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    assert job(job_id).progress_done == 0
    workers.start()
    until(over(job, job_id), 20, lambda: jobs.sweep(engine, celery, quick))
    assert rows(job_id) == [(0, step) for step in range(100)]
    with engine.connect() as connection:
        attempts = sa.text("SELECT attempt FROM job_parts WHERE job_id = :job")
        assert connection.scalar(attempts, {"job": job_id}) == 1


def test_a_database_connection_cut_while_publishing(engine, celery, workers, quick, job, rows):
    workers.start()
    job_id = submit(engine, celery, {"steps": 3, "fault": "cut"})
    until(over(job, job_id), 30, lambda: jobs.sweep(engine, celery, quick))
    assert job(job_id).state == "done"
    assert rows(job_id) == [(0, 0), (0, 1), (0, 2)]


def test_a_worker_outlives_its_broker(engine, workers, job, rows, tmp_path):
    with RedisServer.start(tmp_path) as server, make_celery(server.url) as celery:
        workers.environment["ROSETTA_BROKER_URL"] = server.url
        workers.start()
        job_id = submit(engine, celery, *[{"steps": 20, "step_s": 0.05}] * 3)
        until(lambda: job(job_id).progress_done > 0, 20)
        os.kill(server.pid, signal.SIGKILL)  # while the worker is in a part
        server = RedisServer.start(tmp_path)
        following = submit(engine, celery, {})
        until(over(job, following), 20)  # nobody sweeps
        assert rows(job_id) == [(part, step) for part in range(3) for step in range(20)]
        assert rows(following) == [(0, 0)]


def test_exactly_once_whatever_is_killed(engine, workers, settings, quick, job, rows, tmp_path):
    with RedisServer.start(tmp_path) as server, make_celery(server.url) as celery:
        workers.environment["ROSETTA_BROKER_URL"] = server.url
        running = [workers.start(), workers.start()]
        job_id = submit(engine, celery, *[{"steps": 4, "step_s": 0.05}] * 60)
        until(lambda: job(job_id).progress_done > 4, 20)
        for fault in range(5):
            time.sleep(0.6)
            jobs.sweep(engine, celery, quick)
            if fault in (1, 3):
                os.kill(server.pid, signal.SIGKILL)
                server = RedisServer.start(tmp_path)
            else:
                workers.kill(running.pop(0))
                running.append(workers.start())
        until(over(job, job_id), 60, lambda: jobs.sweep(engine, celery, quick))
        assert job(job_id).state == "done"
        assert rows(job_id) == [(part, step) for part in range(60) for step in range(4)]


def test_doorbells_that_are_lost(engine, celery, workers, quick, redis_url, job, rows):
    job_id = submit(engine, celery, {}, {})
    with redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")) as client:
        client.flushall()
    workers.start()
    until(over(job, job_id), 20, lambda: jobs.sweep(engine, celery, quick))
    assert rows(job_id) == [(0, 0), (1, 0)]


@pytest.mark.parametrize("name", ["ROSETTA_DATABASE_URL", "ROSETTA_BROKER_URL"])
def test_a_worker_without_servers_says_what_it_lacks(workers, name):
    worker = workers.start(**{name: ""})
    assert worker.wait(20) == 1
    assert f"{name} is not set" in workers.log.read_text()
