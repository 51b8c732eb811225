"""Real worker processes, whose leases are short, and a table to count what they did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from celery import Celery

from rosetta.results import Job
from service import jobs
from service.broker import make_celery
from service.settings import Settings

ROOT = Path(__file__).parents[3]
LEASE_S = 1.5


@pytest.fixture(scope="module", autouse=True)
def counted(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE counted (job_id int, part int, step int, pid int)"))


@pytest.fixture
def celery(redis_url: str) -> Iterator[Celery]:
    with make_celery(redis_url) as app:
        yield app


class Workers:
    """Worker processes of one test, ended with it."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.log = log
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "ROSETTA_DATABASE_URL": settings.database_url or "",
            "ROSETTA_BROKER_URL": settings.broker_url or "",
            "ROSETTA_DATA_DIR": str(settings.data_dir),
            "ROSETTA_LEASE_S": str(LEASE_S),
        }

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        options = ["-P", "solo", "-c", "1", "--without-gossip", "--without-mingle", "-l", "INFO"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tests.integration.jobs.counting", "worker", *options],
                cwd=ROOT,
                env={**self.environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.processes.remove(process)


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(settings, tmp_path / "worker.log")
    yield started
    for process in list(started.processes):
        started.kill(process)


@pytest.fixture
def job(engine: sa.Engine) -> Callable[[int], Job]:
    def read(job_id: int) -> Job:
        with engine.connect() as connection:
            return jobs.get(connection, job_id)

    return read


@pytest.fixture
def rows(engine: sa.Engine) -> Callable[[int], list[tuple[int, int]]]:
    def read(job_id: int) -> list[tuple[int, int]]:
        query = sa.text("SELECT part, step FROM counted WHERE job_id = :job ORDER BY part, step")
        with engine.connect() as connection:
            return [(row.part, row.step) for row in connection.execute(query, {"job": job_id})]

    return read


def until(condition: Callable[[], bool], seconds: float, step: Callable[[], object] = lambda: None) -> float:
    """The seconds it took until the condition held; fails after so many of them."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"still not so after {seconds} s"
        step()
        time.sleep(0.05)
    return time.monotonic() - start
