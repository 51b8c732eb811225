"""Jobs as results, with the progress of their parts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from rosetta.results import Job, JobKind, JobState, Page
from service.database.schema import job_parts, jobs
from service.jobs.life import NOW, missing
from service.queries import pages


def get(connection: sa.Connection, job_id: int) -> Job:
    """The job of that id.

    Raises:
        NotFound: when there is none.
    """
    row = connection.execute(_query().where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise missing(connection, job_id)
    return _job(row)


def finished(connection: sa.Connection, key: str) -> Job | None:
    """The latest job of that key that is done, as the answer to its request made again; None when there is none."""
    same = sa.select(sa.func.max(jobs.c.id)).where(jobs.c.key == key, jobs.c.state == "done")
    job_id = connection.scalar(same)
    return None if job_id is None else replace(get(connection, job_id), already_done=True)


def list_jobs(
    connection: sa.Connection,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
    state: JobState | None = None,
    kind: JobKind | None = None,
    without: Collection[JobKind] = (),
) -> Page[Job]:
    """Jobs, newest first; their results without modules and matches, which are many.

    Args:
        connection: where to look.
        limit: how many.
        cursor: of the page before.
        state: only those in it.
        kind: only those of it.
        without: none of these kinds.

    Raises:
        InvalidRequest: when the limit or the cursor is none.
    """
    brief = jobs.c.result.delete_path(["modules"]).delete_path(["matches"])
    query = _query(brief).order_by(jobs.c.id.desc()).limit(pages.check_limit(limit) + 1)
    if cursor is not None:
        (before,) = pages.decode_cursor(cursor, int)
        query = query.where(jobs.c.id < before)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if without:
        query = query.where(jobs.c.kind.not_in(without))
    return pages.paged(connection.execute(query).all(), limit, key=lambda row: (row.id,), item=_job)


def count_by_state(connection: sa.Connection) -> dict[str, int]:
    """How many jobs are in each state that any job is in."""
    counted = sa.select(jobs.c.state, sa.func.count().label("jobs")).group_by(jobs.c.state)
    return {row.state: row.jobs for row in connection.execute(counted)}


def count_by_kind(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """How many jobs of each kind are in each state that any of them is in, kinds by name."""
    counted = sa.select(jobs.c.kind, jobs.c.state, sa.func.count().label("jobs")).group_by(jobs.c.kind, jobs.c.state)
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(counted.order_by(jobs.c.kind)):
        found.setdefault(row.kind, {})[row.state] = row.jobs
    return found


def _query(result: sa.ColumnElement[Any] = jobs.c.result) -> sa.Select[Any]:
    # The note of the part that is at work; of the latest finished one when none is.
    at_work = aggregate_order_by(
        job_parts.c.progress_note,
        (job_parts.c.state == "running").desc(),
        job_parts.c.finished_at.desc().nulls_last(),
        job_parts.c.part,
    )
    progress = (
        sa.select(
            sa.func.coalesce(sa.func.sum(job_parts.c.progress_done), 0).label("done"),
            sa.func.coalesce(sa.func.sum(job_parts.c.progress_total), 0).label("total"),
            sa.func.coalesce(sa.func.array_agg(at_work, type_=sa.ARRAY(sa.Text))[1], "").label("note"),
        )
        .where(job_parts.c.job_id == jobs.c.id)
        .lateral("progress")
    )
    elapsed = sa.func.extract("epoch", NOW - jobs.c.started_at).label("elapsed_s")
    columns = [*(column for column in jobs.c if column is not jobs.c.result), result.label("result")]
    extras = [elapsed, progress.c.done, progress.c.total, progress.c.note]
    return sa.select(*columns, *extras).join_from(jobs, progress, sa.true())


def _job(row: sa.Row[Any]) -> Job:
    eta_s = None
    if row.state == "running" and 0 < row.done <= row.total:
        eta_s = float(row.elapsed_s) * (row.total - row.done) / row.done
    result = row.result
    return Job(
        id=row.id,
        kind=row.kind,
        state=row.state,
        parameters=row.parameters,
        progress_done=int(row.done),
        progress_total=int(row.total),
        progress_note=row.note,
        eta_s=eta_s,
        error_code=row.error_code,
        error_message=row.error_message,
        result=result,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        already_done=bool(result and result.get("already_done")),
    )
