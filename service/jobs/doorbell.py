"""Ringing: tells the workers, through Redis, that a part waits; and the sweeper, which rings again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import kombu.exceptions
import sqlalchemy as sa
from celery import Celery

from service.broker import RUN_PART
from service.database.schema import job_parts, jobs
from service.jobs.life import MAX_ATTEMPTS, NOW, UNFINISHED, tidy
from service.jobs.parts import fail_job
from service.settings import Settings

log = logging.getLogger(__name__)

_SWEEP_AT_ONCE = 500  # parts looked at in one transaction


def ring(engine: sa.Engine, celery: Celery, job_id: int) -> None:
    """Rings for every waiting part of a job that nobody rang for; a broker that is down is no error."""
    mark = (
        sa.update(job_parts)
        .where(job_parts.c.job_id == job_id, job_parts.c.state == "queued", job_parts.c.rung_at.is_(None))
        .values(rung_at=NOW)
        .returning(job_parts.c.part)
    )
    with engine.begin() as connection:
        parts = [(job_id, int(part)) for part in connection.scalars(mark)]
    _send(engine, celery, sorted(parts))


def ring_later(engine: sa.Engine, job_id: int, delay_s: float, settings: Settings) -> None:
    """Has the sweeper ring for a job that nobody rang for, `delay_s` seconds from now or soon after.

    Its parts pass for rung so long ago that they are stale by then.
    """
    with engine.begin() as connection:
        connection.execute(
            sa.update(job_parts)
            .where(job_parts.c.job_id == job_id, job_parts.c.state == "queued", job_parts.c.rung_at.is_(None))
            .values(rung_at=NOW + timedelta(seconds=delay_s - settings.stale_s))
        )


def sweep(engine: sa.Engine, celery: Celery, settings: Settings) -> int:
    """How many parts were rung for again: never rung, stale, or left by a worker whose lease ran out.

    A part that was begun `MAX_ATTEMPTS` times fails its job. Any number of sweepers may run at once.
    """
    tidy(engine)
    with engine.begin() as connection:
        due = connection.execute(_due(settings.stale_s)).all()
        lost = [row for row in due if row.state == "running" and row.attempt >= MAX_ATTEMPTS]
        again = [(row.job_id, row.part) for row in due if row not in lost]
        if again:
            connection.execute(
                sa.update(job_parts)
                .where(sa.tuple_(job_parts.c.job_id, job_parts.c.part).in_(again))
                .values(state="queued", owner=None, lease_until=None, rung_at=NOW)
            )
        for row in lost:
            _give_up(connection, row)
    _send(engine, celery, again)
    return len(again)


def _due(stale_s: float) -> sa.Select[Any]:
    never = job_parts.c.rung_at.is_(None)
    stale = job_parts.c.rung_at < NOW - timedelta(seconds=stale_s)
    waits = sa.and_(job_parts.c.state == "queued", sa.or_(never, stale))
    expired = sa.and_(job_parts.c.state == "running", job_parts.c.lease_until < NOW)
    return (
        sa.select(job_parts.c.job_id, job_parts.c.part, job_parts.c.state, job_parts.c.attempt)
        .add_columns(jobs.c.kind, jobs.c.parameters)
        .join(jobs, jobs.c.id == job_parts.c.job_id)
        .where(job_parts.c.finished_at.is_(None), jobs.c.state.in_(UNFINISHED), sa.or_(waits, expired))
        .order_by(job_parts.c.job_id, job_parts.c.part)
        .limit(_SWEEP_AT_ONCE)
        .with_for_update(of=job_parts, skip_locked=True)
    )


def _give_up(connection: sa.Connection, row: sa.Row[Any]) -> None:
    connection.execute(
        sa.update(job_parts)
        .where(job_parts.c.job_id == row.job_id, job_parts.c.part == row.part)
        .values(state="failed", finished_at=NOW, owner=None, lease_until=None)
    )
    reason = f"the worker died {row.attempt} times while {_doing(row.kind, row.parameters)}; see the worker's log"
    fail_job(connection, row.job_id, "worker_lost", reason)


def _doing(kind: str, parameters: dict[str, Any]) -> str:
    match kind:
        case "register":
            doing = f"registering '{parameters['name']}' from {parameters['source']}"
        case "correlate":
            doing = f"correlating unit {parameters['unit']} on probe set '{parameters['probe']}'"
        case "inspect":
            doing = f"reading the layers of {parameters['source']}"
        case "mine":
            doing = f"mining {', '.join(parameters['models'])} on probe set '{parameters['probe']}'"
        case "cluster":
            doing = f"finding the concepts of probe set '{parameters['probe']}'"
        case "map":
            doing = f"laying out the units of probe set '{parameters['probe']}'"
        case "pictures":
            doing = f"making pictures of {', '.join(parameters['models'])} on probe set '{parameters['probe']}'"
        case _:
            doing = f"doing a job of kind '{kind}'"
    return doing


def _send(engine: sa.Engine, celery: Celery, parts: Sequence[tuple[int, int]]) -> None:
    for index, (job_id, part) in enumerate(parts):
        try:
            celery.send_task(RUN_PART, args=(job_id, part), ignore_result=True)
        except (kombu.exceptions.OperationalError, OSError) as error:
            log.warning("the broker does not answer (%s); the sweeper rings later", error)
            _unmark(engine, parts[index:])
            return


def _unmark(engine: sa.Engine, parts: Sequence[tuple[int, int]]) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.update(job_parts)
            .where(sa.tuple_(job_parts.c.job_id, job_parts.c.part).in_(parts), job_parts.c.state == "queued")
            .values(rung_at=None)
        )
