"""A real store with the demo zoo in it, for the benchmarks; nothing is left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from celery import Celery

from rosetta.results import Job
from service import jobs
from service.broker import make_celery
from service.database import migrate
from service.database.engine import make_engine
from service.embedded import PostgresServer
from service.queries.probes import add_generator_probe
from service.settings import Settings, get_settings
from service.submit_register import submit_register

DEMO = ("dcgan-faces", "efficientnet-lite0", "mobilenet-v2", "age-net")


@contextmanager
def store(weights: Path | None = None) -> Iterator[tuple[sa.Engine, Settings]]:
    """A durable Postgres, as in production, in a temporary folder; this process's settings name it.

    Args:
        weights: a weights folder.
    """
    with tempfile.TemporaryDirectory(prefix="rosetta-bench-") as folder, PostgresServer.start(Path(folder)) as server:
        migrate.upgrade(server.url)
        os.environ["ROSETTA_DATABASE_URL"] = server.url
        os.environ["ROSETTA_DATA_DIR"] = str(Path(folder) / "data")
        os.environ["ROSETTA_WEIGHTS_DIRS"] = str(weights or "")
        get_settings.cache_clear()
        engine = make_engine(server.url)
        try:
            yield engine, get_settings()
        finally:
            engine.dispose()


def deaf() -> Celery:
    """A sender whose broker does not exist: the benchmark runs the parts itself."""
    return make_celery("memory://")


def run_job(engine: sa.Engine, job_id: int) -> Job:
    """The job, all its parts done here and now.

    Raises:
        RuntimeError: when it did not end well.
    """
    from workers import tasks

    with engine.connect() as connection:
        parts = connection.execute(
            sa.text("SELECT part FROM job_parts WHERE job_id = :job ORDER BY part"), {"job": job_id}
        ).scalars()
        numbers = list(parts)
    for part in numbers:
        tasks.run_part(job_id, part)
    with engine.connect() as connection:
        job = jobs.get(connection, job_id)
    if job.state != "done":
        raise RuntimeError(f"job {job_id} {job.state}: {job.error_message}")
    return job


def register_demo(engine: sa.Engine, settings: Settings) -> None:
    """Register the demo zoo and its probe sets' generator."""
    for name in DEMO:
        run_job(engine, submit_register(engine, deaf(), settings, name=name, source=f"demo:{name}").id)


def add_probe(engine: sa.Engine, name: str, count: int, seed: int = 0) -> None:
    """A probe set of generated faces."""
    with engine.begin() as connection:
        add_generator_probe(connection, name, "dcgan-faces", count=count, seed=seed)
