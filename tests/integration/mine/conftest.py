"""Workers for mining tests: one in this process, or real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from service import jobs
from service.broker import make_celery
from service.database import schema
from workers import tasks
from workers.pipelines import networks


@pytest.fixture(scope="module")
def celery():
    """A queue that nobody listens to."""
    return make_celery("memory://")


@pytest.fixture(scope="module")
def worker(engine, settings):
    """Runs all parts of a job as a worker would; the broker is of no consequence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "_engine", lambda: engine)
        networks.forget_all()

        def run(job, settings=settings):
            patch.setattr(tasks, "get_settings", lambda: settings)
            with engine.connect() as connection:
                parts = sa.select(schema.job_parts.c.part).where(schema.job_parts.c.job_id == job.id)
                numbers = list(connection.scalars(parts))
            for part in numbers:
                tasks.run_part(job.id, part)
            with engine.connect() as connection:
                done = jobs.get(connection, job.id)
            assert done.state == "done", done.error_message
            return done

        yield run
        networks.forget_all()


@pytest.fixture
def real_workers(settings, tmp_path):
    """A context with so many worker processes, each ready."""

    @contextmanager
    def start(count):
        environment = {
            **os.environ,
            "ROSETTA_DATABASE_URL": settings.database_url,
            "ROSETTA_BROKER_URL": settings.broker_url,
            "ROSETTA_DATA_DIR": str(settings.data_dir),
            "ROSETTA_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", "from rosetta.cli import main; main()", "worker"]
        logs = [tmp_path / f"worker-{number}.log" for number in range(count)]
        processes = []
        try:
            for log in logs:
                with log.open("w") as output:
                    processes.append(
                        subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
                    )
            deadline = time.monotonic() + 60
            while not all("ready." in log.read_text() for log in logs):
                assert time.monotonic() < deadline, [log.read_text() for log in logs]
                time.sleep(0.05)
            yield logs
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(60)

    return start
