"""A worker with one pipeline more: `count` needs no models, and writes a row a step, so that a test can count them.

celery -A tests.integration.jobs.counting worker -P solo
"""

from __future__ import annotations

import os
import time

import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from workers.app import app
from workers.pipelines.context import Context
from workers.tasks import PIPELINES

__all__ = ["app", "run"]

PIPELINES["count"] = __name__
counted = sa.table("counted", *map(sa.column, ("job_id", "part", "step", "pid")))


def run(context: Context) -> None:
    payload = context.payload
    steps = payload.get("steps", 1)
    for step in range(steps):
        context.report(step, steps, f"step {step}")
        time.sleep(payload.get("step_s", 0.0))
    _misbehave(payload.get("fault"))
    with context.publish({f"part {context.claim.part}": steps}) as connection:
        connection.execute(
            sa.insert(counted),
            [
                {"job_id": context.claim.job_id, "part": context.claim.part, "step": step, "pid": os.getpid()}
                for step in range(steps)
            ],
        )
        if payload.get("fault") == "cut" and context.claim.attempt == 1:
            connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


def _misbehave(fault: str | None) -> None:
    if fault == "refuse":
        raise InvalidRequest("no model 'x'; did you mean y?")
    if fault == "bug":
        raise ZeroDivisionError("division\0 by zero\nand a second line")
    if fault == "memory":
        raise MemoryError
    if fault == "die":
        os._exit(9)
