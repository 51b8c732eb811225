"""A job's life in Postgres, without a worker process: who may do what, and when."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
import sqlalchemy as sa

from rosetta.errors import Conflict, InvalidRequest, NotFound
from service import jobs
from service.broker import QUEUE, make_celery
from service.settings import Settings


def make(engine: sa.Engine, parts: int = 1, **parameters: object) -> int:
    return jobs.create(engine, "count", f"key {uuid4()}", parameters, [{"images": 10}] * parts)


def take(engine: sa.Engine, job_id: int, part: int = 0, lease_s: float = 30.0) -> jobs.Claim:
    claim = jobs.claim(engine, job_id, part, uuid4(), lease_s)
    assert claim is not None
    return claim


def waiting(redis_url: str) -> int:
    """How many doorbells lie in the queue."""
    with redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")) as client:
        return int(client.llen(QUEUE))


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.model_copy(update={"stale_s": 0.2})


@pytest.fixture(autouse=True)
def empty(engine: sa.Engine, redis_url: str) -> None:
    with redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")) as client:
        client.flushall()
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE jobs CASCADE"))


def test_one_key_makes_one_unfinished_job(engine):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: jobs.create(engine, "count", "same", {}, [{}, {}]), range(24)))
    assert len(set(made)) == 1
    jobs.cancel(engine, made[0])
    assert jobs.create(engine, "count", "same", {}, [{}]) != made[0]


def test_one_of_many_claims_gets_the_part(engine):
    job_id = make(engine)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: jobs.claim(engine, job_id, 0, uuid4(), 30.0), range(24)))
    assert len([claim for claim in got if claim]) == 1


def test_parts_count_down_and_results_merge(engine, job):
    job_id = make(engine, 2)
    first, second = take(engine, job_id, 0), take(engine, job_id, 1)
    result = {}
    with jobs.publish(engine, first, result):
        result["first"] = 1  # known only inside
    assert job(job_id).state == "running"
    with jobs.publish(engine, second, {"second": 2}):
        pass
    done = job(job_id)
    assert (done.state, done.result, done.eta_s) == ("done", {"first": 1, "second": 2}, None)
    assert (done.progress_done, done.progress_total) == (20, 20)
    assert done.finished_at
    assert jobs.claim(engine, job_id, 0, uuid4(), 30.0) is None


def test_progress_has_an_estimate(engine, job):
    job_id = make(engine, 2)
    assert (job(job_id).progress_total, job(job_id).eta_s) == (20, None)
    claim = take(engine, job_id)
    time.sleep(0.1)
    assert jobs.heartbeat(engine, claim, 5, 10, "mining")
    seen = job(job_id)
    assert (seen.progress_done, seen.progress_total, seen.progress_note) == (5, 20, "mining")
    assert seen.eta_s == pytest.approx(0.3, abs=0.2)


def test_what_fails_inside_publish_leaves_nothing(engine, job, rows):
    job_id = make(engine)
    claim = take(engine, job_id)
    with pytest.raises(ZeroDivisionError), jobs.publish(engine, claim) as connection:  # noqa: PT012
        connection.execute(sa.text("INSERT INTO counted VALUES (:job, 0, 0, 0)"), {"job": job_id})
        raise ZeroDivisionError
    assert job(job_id).state == "running"
    assert rows(job_id) == []


def test_a_lost_lease_writes_nothing(engine, celery, quick, job, rows):
    job_id = make(engine)
    lost = take(engine, job_id, lease_s=0.1)
    time.sleep(0.15)
    assert jobs.sweep(engine, celery, quick) == 1
    heir = take(engine, job_id)
    assert heir.attempt == 2
    assert not jobs.heartbeat(engine, lost, 1, 1, "")
    with pytest.raises(jobs.Stopped), jobs.publish(engine, lost) as connection:
        connection.execute(sa.text("INSERT INTO counted VALUES (:job, 0, 0, 0)"), {"job": job_id})
    jobs.fail(engine, lost, "internal", "too late to say")
    jobs.release(engine, lost)
    with jobs.publish(engine, heir):
        pass
    assert job(job_id).state == "done"
    assert rows(job_id) == []


def test_a_lease_may_be_taken_over_without_a_sweep(engine):
    job_id = make(engine)
    take(engine, job_id, lease_s=0.05)
    time.sleep(0.1)
    assert take(engine, job_id).attempt == 2


def test_a_part_that_kills_its_workers_fails_the_job(engine, celery, quick, job):
    job_id = jobs.create(engine, "mine", "deadly", {"models": ["dcgan-faces", "age-net"], "probe": "faces"}, [{}, {}])
    for attempt in (1, 2, 3):
        assert take(engine, job_id, lease_s=0.01).attempt == attempt
        time.sleep(0.05)
        jobs.sweep(engine, celery, quick)
    assert jobs.claim(engine, job_id, 0, uuid4(), 30.0) is None
    failed = job(job_id)
    assert (failed.state, failed.error_code) == ("failed", "worker_lost")
    assert failed.error_message == (
        "the worker died 3 times while mining dcgan-faces, age-net on probe set 'faces'; see the worker's log"
    )
    assert jobs.claim(engine, job_id, 1, uuid4(), 30.0) is None  # nor does the other part begin any more


def test_cancelled_means_nothing_more_is_stored(engine, job, rows):
    job_id = make(engine, 2)
    claim = take(engine, job_id)
    jobs.cancel(engine, job_id)
    jobs.cancel(engine, job_id)  # no error
    assert job(job_id).state == "cancelled"
    assert not jobs.heartbeat(engine, claim, 1, 1, "")
    with pytest.raises(jobs.Stopped), jobs.publish(engine, claim):
        pass
    assert jobs.claim(engine, job_id, 1, uuid4(), 30.0) is None


def test_cancel_while_a_part_publishes(engine, celery, settings, job, rows):
    job_id = make(engine)
    claim = take(engine, job_id)
    with pytest.raises(jobs.Stopped), jobs.publish(engine, claim) as connection:  # noqa: PT012
        connection.execute(sa.text("INSERT INTO counted VALUES (:job, 0, 0, 0)"), {"job": job_id})
        jobs.cancel(engine, job_id)  # returns at once, though the part is locked
    assert job(job_id).state == "cancelled"
    assert rows(job_id) == []
    jobs.sweep(engine, celery, settings)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT state FROM job_parts")) == "cancelled"


def test_retry_does_what_is_left(engine, celery, job):
    job_id = make(engine, 2)
    with jobs.publish(engine, take(engine, job_id, 0), {"first": 1}):
        pass
    jobs.fail(engine, take(engine, job_id, 1), "invalid_request", "no such file")
    failed = job(job_id)
    assert (failed.state, failed.error_code, failed.error_message) == ("failed", "invalid_request", "no such file")
    jobs.retry(engine, job_id)
    assert (job(job_id).state, job(job_id).error_message) == ("queued", None)
    assert jobs.claim(engine, job_id, 0, uuid4(), 30.0) is None
    with jobs.publish(engine, take(engine, job_id, 1), {"second": 2}):
        pass
    assert (job(job_id).state, job(job_id).result) == ("done", {"first": 1, "second": 2})


def test_what_cannot_be_retried_or_cancelled(engine):
    job_id = make(engine)
    with pytest.raises(Conflict, match=f"job {job_id} is queued: cancel it first, or wait"):
        jobs.retry(engine, job_id)
    with jobs.publish(engine, take(engine, job_id)):
        pass
    with pytest.raises(Conflict, match="is done: there is nothing to retry"):
        jobs.retry(engine, job_id)
    with pytest.raises(Conflict, match="is done already: there is nothing to cancel"):
        jobs.cancel(engine, job_id)
    first = jobs.create(engine, "count", "twin", {}, [{}])
    jobs.cancel(engine, first)
    second = jobs.create(engine, "count", "twin", {}, [{}])
    with pytest.raises(Conflict, match=f"job {second} does the same as job {first} already"):
        jobs.retry(engine, first)
    for change in (jobs.cancel, jobs.retry):
        with pytest.raises(NotFound, match=f"no job 999999; the newest is {second}"):
            change(engine, 999999)


def test_release_costs_no_attempt(engine, celery, settings):
    job_id = make(engine)
    for _ in range(5):
        claim = take(engine, job_id)
        assert claim.attempt == 1
        jobs.release(engine, claim)
    assert jobs.sweep(engine, celery, settings) == 1


def test_pages_of_jobs(engine):
    made = [make(engine) for _ in range(5)]
    jobs.cancel(engine, made[1])
    with engine.connect() as connection:
        first = jobs.list_jobs(connection, 3)
        second = jobs.list_jobs(connection, 3, first.next_cursor)
        cancelled = jobs.list_jobs(connection, state="cancelled")
        assert [job.id for job in first.items + second.items] == made[::-1]
        assert second.next_cursor is None
        assert [job.id for job in cancelled.items] == [made[1]]
        with pytest.raises(InvalidRequest, match="cursor"):
            jobs.list_jobs(connection, 3, "nonsense")
        with pytest.raises(NotFound, match="no job 0"):
            jobs.get(connection, 0)


def test_ring_rings_once_and_the_sweeper_again(engine, celery, redis_url, quick, settings):
    job_id = make(engine, 3)
    jobs.ring(engine, celery, job_id)
    jobs.ring(engine, celery, job_id)
    assert waiting(redis_url) == 3
    assert jobs.sweep(engine, celery, settings) == 0  # not stale yet
    time.sleep(0.25)
    assert jobs.sweep(engine, celery, quick) == 3
    assert waiting(redis_url) == 6


def test_never_rung_is_rung(engine, celery, redis_url, settings):
    make(engine, 2)  # the service died before it rang
    with ThreadPoolExecutor(4) as pool:
        swept = list(pool.map(lambda _: jobs.sweep(engine, celery, settings), range(8)))
    assert sum(swept) == waiting(redis_url) == 2


def test_a_broker_that_is_down_fails_nothing(engine, celery, redis_url, settings, tmp_path):
    job_id = make(engine, 2)
    with make_celery(f"redis+socket://{tmp_path}/nowhere.sock") as down:
        start = time.monotonic()
        jobs.ring(engine, down, job_id)
        jobs.sweep(engine, down, settings)
        assert time.monotonic() - start < 2
    assert jobs.sweep(engine, celery, settings) == 2
    assert waiting(redis_url) == 2


def test_a_job_without_parts_is_born_done(engine, job):
    job_id = jobs.create(engine, "count", "nothing to do", {"a": 1}, [], result={"already_done": True})
    born = job(job_id)
    assert (born.state, born.already_done, born.eta_s) == ("done", True, None)
    assert born.finished_at
