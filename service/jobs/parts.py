"""What a worker does to a part: claim, heartbeat, publish, fail, release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service.database.schema import job_parts, jobs
from service.jobs.life import MAX_ATTEMPTS, NOW, UNFINISHED, tidy


class Stopped(Exception):  # noqa: N818 - no error: the part is another's by now, or nobody wants it any more
    """The part is no longer this worker's: the lease was lost, or the job was cancelled."""


@dataclass(frozen=True)
class Claim:
    """A part that a worker owns while its lease lasts."""

    job_id: int
    part: int
    owner: UUID
    lease_s: float
    attempt: int
    kind: str
    parameters: dict[str, Any]
    payload: dict[str, Any]


def claim(engine: sa.Engine, job_id: int, part: int, owner: UUID, lease_s: float) -> Claim | None:
    """The part, when it waits or its worker's lease ran out; None when it is not to be had.

    Of any number of workers that try at once, one gets it.
    """
    waits = sa.or_(
        job_parts.c.state == "queued", sa.and_(job_parts.c.state == "running", job_parts.c.lease_until < NOW)
    )
    take = (
        sa.update(job_parts)
        .where(job_parts.c.job_id == job_id, job_parts.c.part == part, waits, job_parts.c.attempt < MAX_ATTEMPTS)
        .where(jobs.c.id == job_parts.c.job_id, jobs.c.state.in_(UNFINISHED))
        .values(
            state="running",
            owner=owner,
            lease_until=NOW + timedelta(seconds=lease_s),
            attempt=job_parts.c.attempt + 1,
            started_at=NOW,
            progress_done=0,
            progress_note="",
        )
        .returning(job_parts.c.attempt, job_parts.c.payload, jobs.c.kind, jobs.c.parameters)
    )
    with engine.begin() as connection:
        row = connection.execute(take).one_or_none()
        if row is None:
            return None
        connection.execute(
            sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued").values(state="running", started_at=NOW)
        )
    return Claim(job_id, part, owner, lease_s, row.attempt, row.kind, row.parameters, row.payload)


def _owned(claim: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        job_parts.c.job_id == claim.job_id,
        job_parts.c.part == claim.part,
        job_parts.c.owner == claim.owner,
        job_parts.c.state == "running",
    )


def heartbeat(engine: sa.Engine, claim: Claim, done: int, total: int, note: str) -> bool:
    """Whether the part is still the owner's; if so its lease is extended and its progress noted."""
    beat = (
        sa.update(job_parts)
        .where(*_owned(claim), jobs.c.id == job_parts.c.job_id, jobs.c.state.in_(UNFINISHED))
        .values(
            lease_until=NOW + timedelta(seconds=claim.lease_s),
            progress_done=done,
            progress_total=total,
            progress_note=note,
        )
    )
    with engine.begin() as connection:
        return bool(connection.execute(beat).rowcount)


@contextmanager
def publish(engine: sa.Engine, claim: Claim, result: Mapping[str, Any] | None = None) -> Iterator[sa.Connection]:
    """A connection in the one transaction that writes a part's rows and marks it done, or does neither.

    The part is locked by owner from the beginning, so nobody else can take it meanwhile. On exit `result`, as
    it is then, is merged into the job's, and the last part finishes the job.

    Raises:
        Stopped: when the part is not the owner's any more, or the job was cancelled; nothing is written.
    """
    with engine.begin() as connection:
        lock = sa.select(job_parts.c.part).where(*_owned(claim)).with_for_update()
        if connection.execute(lock).one_or_none() is None:
            raise Stopped(f"part {claim.part} of job {claim.job_id} was given to another worker")
        yield connection
        _finish(connection, claim, dict(result or {}))


def _finish(connection: sa.Connection, claim: Claim, result: dict[str, Any]) -> None:
    connection.execute(
        sa.update(job_parts)
        .where(*_owned(claim))
        .values(
            state="done",
            finished_at=NOW,
            lease_until=None,
            progress_done=job_parts.c.progress_total,
        )
    )
    last = jobs.c.remaining == 1
    merged = sa.func.coalesce(jobs.c.result, sa.cast({}, jobs.c.result.type)).op("||")(
        sa.cast(result, jobs.c.result.type)
    )
    counted = connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == claim.job_id, jobs.c.state == "running")
        .values(
            remaining=jobs.c.remaining - 1,
            result=merged,
            state=sa.case((last, "done"), else_=jobs.c.state),
            finished_at=sa.case((last, NOW), else_=None),
        )
    ).rowcount
    if not counted:
        raise Stopped(f"job {claim.job_id} was cancelled")


def fail(engine: sa.Engine, claim: Claim, code: str, message: str) -> None:
    """Fails the part and with it the job, with a reason a person understands, unless the part was lost."""
    with engine.begin() as connection:
        failed = sa.update(job_parts).where(*_owned(claim)).values(state="failed", finished_at=NOW, lease_until=None)
        if not connection.execute(failed).rowcount:
            return
        fail_job(connection, claim.job_id, code, message)
    tidy(engine, claim.job_id)


def fail_job(connection: sa.Connection, job_id: int, code: str, message: str) -> None:
    """Marks an unfinished job failed; the first reason stays."""
    connection.execute(
        sa.update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_(UNFINISHED))
        .values(state="failed", finished_at=NOW, error_code=code, error_message=message.replace("\0", ""))
    )


def release(engine: sa.Engine, claim: Claim) -> None:
    """Gives a part back, for a worker that shuts down: it counts as no attempt, and is rung for again."""
    with engine.begin() as connection:
        connection.execute(
            sa.update(job_parts)
            .where(*_owned(claim))
            .values(
                state="queued",
                owner=None,
                lease_until=None,
                rung_at=None,
                attempt=job_parts.c.attempt - 1,
                progress_done=0,
                progress_note="",
            )
        )
