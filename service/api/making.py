"""Waiting for a worker: what a request wants is read, or made by a job and then read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from rosetta.errors import JobFailed, Unavailable
from rosetta.results import Job
from service import jobs
from service.api.state import State
from service.jobs.presence import workers_at_work

T = TypeVar("T")

WAIT_S = 10.0
_LOOK_S = 0.1
_SOON_S, _LATER_S = 2, 30  # when to ask again


async def made(
    state: State,
    what: str,
    read: Callable[[], T | None],
    submit: Callable[[], Job],
    otherwise: Callable[[], T | None] = lambda: None,
) -> T:
    """What `read` gives: at once, or as soon as the job of `submit` made it.

    Args:
        state: of the application.
        what: is made, for people.
        read: gives None as long as it is not there.
        submit: gives the job that makes it; the same one to requests for the same thing.
        otherwise: gives what will do when no worker is at work, in which case no job is submitted, or when it takes
            longer than a request waits; None: nothing will.

    Raises:
        JobFailed: when it cannot be made.
        Unavailable: when no worker is at work, or it takes longer than a request waits; `retry_after_s` says when to
            ask again.
    """
    found = await run_in_threadpool(read)
    if found is None and not await run_in_threadpool(_at_work, state):
        found = await run_in_threadpool(otherwise)
    if found is not None:
        return found
    try:
        return await _wait(state, what, read, await run_in_threadpool(submit))
    except Unavailable:
        found = await run_in_threadpool(otherwise)
        if found is None:
            raise
        return found


def _at_work(state: State) -> int:
    with state.reading.connect() as conn:
        return workers_at_work(conn)


async def _wait(state: State, what: str, read: Callable[[], T | None], job: Job) -> T:
    """What `read` gives, as soon as the job made it."""
    deadline = time.monotonic() + WAIT_S
    while True:
        job = await run_in_threadpool(_look, state, what, job.id)
        found = await run_in_threadpool(read)  # after the job was looked at: what is done is there
        if found is not None:
            return found
        if job.state == "done":
            raise Unavailable(
                f"{what} was made, and is not in the data directory: workers and API share ROSETTA_DATA_DIR",
                job=job.id,
                retry_after_s=_LATER_S,
            )
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} is still being made: ask again", job=job.id, retry_after_s=_SOON_S)
        await asyncio.sleep(_LOOK_S)


def _look(state: State, what: str, job_id: int) -> Job:
    """The job.

    Raises:
        JobFailed: when it failed.
        Unavailable: when it was cancelled, or waits for a worker and there is none.
    """
    with state.reading.connect() as conn:
        job = jobs.get(conn, job_id)
        if job.state == "failed":
            raise JobFailed(f"{what} could not be made: {job.error_message}", job=job.id)
        if job.state == "cancelled":
            raise Unavailable(f"job {job.id}, which makes {what}, was cancelled: ask again", job=job.id)
        if job.state == "queued" and not workers_at_work(conn):
            raise Unavailable(
                f"{what} is not made yet, and no worker is at work: start one with `rosetta worker`",
                job=job.id,
                retry_after_s=_LATER_S,
            )
    return job
