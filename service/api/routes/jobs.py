"""Mining and jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from rosetta.results import Job, JobKind, JobState, Page
from service import jobs
from service.api.bodies import Mine
from service.api.encoding import encode, respond
from service.api.routes.common import Cursor, JobId, Limit
from service.api.state import State, state_of
from service.queries import pages
from service.submit import submit_mine

router = APIRouter(prefix="/v1", tags=["jobs"])

_LOOK_S = 0.5  # how often progress is looked for
_SAY_S = 5.0  # a silent stream says at least that it lives
_OVER = frozenset({"done", "failed", "cancelled"})
_EVENTS = {200: {"description": "A Job a change, until it is over", "content": {"text/event-stream": {}}}}


@router.post(
    "/mine", response_model=Job, status_code=202, summary="Mine models on a probe set", responses={200: {"model": Job}}
)
def mine(request: Request, body: Mine) -> Response:
    """A job; with status 200 and `already_done` when all of it is stored already."""
    state = state_of(request)
    job = submit_mine(
        state.engine,
        state.celery,
        state.settings,
        probe=body.probe,
        models=body.models,
        keep=body.keep,
        sketch_only=body.sketch_only,
        parts=body.parts,
    )
    return respond(job, 200 if job.already_done else 202)


@router.get("/jobs", response_model=Page[Job], summary="Jobs, newest first")
def list_jobs(
    request: Request,
    state: Annotated[JobState | None, Query(description="only jobs in this state")] = None,
    kind: Annotated[JobKind | None, Query(description="only jobs of this kind")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Jobs and their progress."""
    with state_of(request).reading.connect() as conn:
        return respond(jobs.list_jobs(conn, limit, cursor, state, kind))


@router.get("/jobs/{job}", response_model=Job, summary="One job")
def get_job(request: Request, job: JobId) -> Response:
    """A job, its progress and how it ended."""
    return respond(_get(state_of(request), job))


@router.delete("/jobs/{job}", response_model=Job, summary="Cancel a job")
def cancel_job(request: Request, job: JobId) -> Response:
    """The job, cancelled: its workers stop at their next look, and nothing more of it is stored."""
    state = state_of(request)
    jobs.cancel(state.engine, job)
    return respond(_get(state, job))


@router.post("/jobs/{job}/retry", response_model=Job, summary="Try a failed or cancelled job again")
def retry_job(request: Request, job: JobId) -> Response:
    """The job, queued again from where it was."""
    state = state_of(request)
    jobs.retry(state.engine, job)
    jobs.ring(state.engine, state.celery, job)
    return respond(_get(state, job))


@router.get("/jobs/{job}/events", summary="A job's progress as server-sent events", responses=_EVENTS)  # type: ignore[arg-type]
async def job_events(request: Request, job: JobId) -> Response:
    """An event with the job whenever it changes; the stream ends with the job."""
    state = state_of(request)
    first = await run_in_threadpool(_get, state, job)
    return StreamingResponse(
        _events(state, first),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(state: State, job: Job) -> AsyncIterator[bytes]:
    said: bytes = b""
    said_at = time.monotonic()
    while True:
        text = encode(job)
        if text != said:
            yield b"event: job\ndata: " + text + b"\n\n"
            said, said_at = text, time.monotonic()
        elif time.monotonic() - said_at > _SAY_S:
            yield b": still here\n\n"
            said_at = time.monotonic()
        if job.state in _OVER:
            return
        await asyncio.sleep(_LOOK_S)
        job = await run_in_threadpool(_get, state, job.id)


def _get(state: State, job: int) -> Job:
    with state.reading.connect() as conn:
        return jobs.get(conn, job)
