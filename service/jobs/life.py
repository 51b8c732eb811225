"""What a user does to a job: create, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from rosetta.errors import Conflict, NotFound
from service.database.schema import job_parts, jobs

MAX_ATTEMPTS = 3  # so often a part is begun before its job fails
UNFINISHED = ("queued", "running")
NOW = sa.func.clock_timestamp()


def create(
    engine: sa.Engine,
    kind: str,
    key: str,
    parameters: dict[str, Any],
    payloads: Sequence[dict[str, Any]],
    *,
    result: dict[str, Any] | None = None,
) -> int:
    """The id of a new job, or of the unfinished job of that key if there is one.

    Args:
        engine: of the store.
        kind: the pipeline that does it, such as `register`.
        key: what the job is about, in words a repetition would use again.
        parameters: of the whole job.
        payloads: one a part; `images` in it, where given, is the total of the part's progress. Without any,
            the job is born done.
        result: what is known of the result already.
    """
    finished = {} if payloads else {"state": "done", "started_at": NOW, "finished_at": NOW}
    insert = (
        postgresql.insert(jobs)
        .values(
            kind=kind,
            key=key,
            parameters=parameters,
            remaining=len(payloads),
            result=sa.null() if result is None else result,
            **finished,
        )
        .on_conflict_do_nothing(index_elements=["key"], index_where=sa.text("state IN ('queued', 'running')"))
        .returning(jobs.c.id)
    )
    unfinished = sa.select(jobs.c.id).where(jobs.c.key == key, jobs.c.state.in_(UNFINISHED))
    while True:  # the unfinished job may finish between the two statements
        with engine.begin() as connection:
            job_id = connection.scalar(insert)
            if job_id is not None:
                _insert_parts(connection, job_id, payloads)
                return int(job_id)
            existing = connection.scalar(unfinished)
            if existing is not None:
                return int(existing)


def _insert_parts(connection: sa.Connection, job_id: int, payloads: Sequence[dict[str, Any]]) -> None:
    rows = [
        {"job_id": job_id, "part": part, "payload": payload, "progress_total": int(payload.get("images", 0))}
        for part, payload in enumerate(payloads)
    ]
    if rows:
        connection.execute(sa.insert(job_parts), rows)


def cancel(engine: sa.Engine, job_id: int) -> None:
    """Ends an unfinished job: its workers stop at their next look, and nothing more of it is stored.

    Cancelling a cancelled job is no error.

    Raises:
        NotFound: when there is no such job.
        Conflict: when it is done or failed already.
    """
    with engine.begin() as connection:
        cancelled = connection.execute(
            sa.update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state.in_(UNFINISHED))
            .values(state="cancelled", finished_at=NOW)
        ).rowcount
        state = state_of(connection, job_id)
    if not cancelled and state != "cancelled":
        raise Conflict(f"job {job_id} is {state} already: there is nothing to cancel", job=job_id, state=state)
    tidy(engine, job_id)


def retry(engine: sa.Engine, job_id: int) -> None:
    """Queues the parts that a failed or cancelled job has not done; ring afterwards.

    Raises:
        NotFound: when there is no such job.
        Conflict: when it is not over, or done; or when another job does the same by now.
    """
    with engine.begin() as connection:
        # Part first, job last, as everywhere: a worker that still publishes holds its part.
        mine = job_parts.c.job_id == job_id, job_parts.c.state != "done"
        connection.execute(sa.select(job_parts.c.part).where(*mine).order_by(job_parts.c.part).with_for_update())
        state = state_of(connection, job_id, lock=True)
        if state not in ("failed", "cancelled"):
            mend = "there is nothing to retry" if state == "done" else "cancel it first, or wait"
            raise Conflict(f"job {job_id} is {state}: {mend}", job=job_id, state=state)
        again = {"state": "queued", "started_at": None, "finished_at": None}
        connection.execute(
            sa.update(job_parts)
            .where(*mine)
            .values(
                **again,
                owner=None,
                lease_until=None,
                attempt=0,
                rung_at=None,
                progress_done=0,
                progress_note="",
            )
        )
        _requeue(connection, job_id, again)


def _requeue(connection: sa.Connection, job_id: int, again: dict[str, Any]) -> None:
    try:
        with connection.begin_nested():
            connection.execute(
                sa.update(jobs).where(jobs.c.id == job_id).values(**again, error_code=None, error_message=None)
            )
    except sa.exc.IntegrityError:
        key = sa.select(jobs.c.key).where(jobs.c.id == job_id).scalar_subquery()
        other = connection.scalar(sa.select(jobs.c.id).where(jobs.c.key == key, jobs.c.state.in_(UNFINISHED)))
        raise Conflict(f"job {other} does the same as job {job_id} already", job=other) from None


def state_of(connection: sa.Connection, job_id: int, *, lock: bool = False) -> str:
    """The state of a job.

    Raises:
        NotFound: when there is no such job.
    """
    query = sa.select(jobs.c.state).where(jobs.c.id == job_id)
    state = connection.scalar(query.with_for_update() if lock else query)
    if state is None:
        raise missing(connection, job_id)
    return str(state)


def missing(connection: sa.Connection, job_id: int) -> NotFound:
    """The error that says there is no such job, and which is the newest."""
    newest = connection.scalar(sa.select(sa.func.max(jobs.c.id)))
    hint = "there are no jobs yet" if newest is None else f"the newest is {newest}"
    return NotFound(f"no job {job_id}; {hint}", job=job_id, suggestions=[] if newest is None else [str(newest)])


def tidy(engine: sa.Engine, job_id: int | None = None) -> None:
    """Cancels the unfinished parts of jobs that are over; those that are locked wait for the next sweep."""
    over = sa.select(job_parts.c.job_id, job_parts.c.part).join(jobs, jobs.c.id == job_parts.c.job_id)
    over = over.where(job_parts.c.finished_at.is_(None), jobs.c.state.not_in(UNFINISHED))
    if job_id is not None:
        over = over.where(jobs.c.id == job_id)
    over = over.with_for_update(of=job_parts, skip_locked=True)
    with engine.begin() as connection:
        connection.execute(
            sa.update(job_parts)
            .where(sa.tuple_(job_parts.c.job_id, job_parts.c.part).in_(over))
            .values(state="cancelled", finished_at=NOW)
        )
