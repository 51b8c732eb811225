"""The pages of jobs: the list, and one with its live progress; cancel and retry as forms."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import RedirectResponse

from rosetta.errors import Unauthorized
from rosetta.results import JobKind, JobState
from service import jobs
from service.api.routes.common import JobId
from service.api.state import state_of
from service.jobs.presence import workers_at_work
from service.web.pages import PageRoute, render


def refuse_other_sites(request: Request) -> None:
    """Refuses a change that another site's page asked for; `Access` has looked at Origin, where it was sent.

    Raises:
        Unauthorized: when the browser says that the form was not ours.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Unauthorized("a page of another site may not change anything here")


router = APIRouter(include_in_schema=False, route_class=PageRoute)
UNASKED: tuple[JobKind, ...] = ("pictures", "embed_text")  # jobs of these kinds come of looking at pages, and are many
_STATES = ("queued", "running", "done", "failed", "cancelled")


@router.get("/jobs")
def list_jobs(
    request: Request,
    state: Annotated[JobState | Literal[""], Query()] = "",
    kind: Annotated[JobKind | Literal["", "all"], Query()] = "",
    cursor: Annotated[str, Query()] = "",
) -> Response:
    """Jobs, newest first, of one state or kind where named; else all but those that pages ask for by themselves."""
    with state_of(request).reading.connect() as conn:
        by_kind = jobs.count_by_kind(conn)
        page = jobs.list_jobs(
            conn,
            cursor=cursor or None,
            state=state or None,
            kind=None if kind == "" or kind == "all" else kind,  # noqa: PLR1714 - mypy narrows by it
            without=() if kind else UNASKED,
        )
        workers = workers_at_work(conn)
    chosen = [name for name in by_kind if kind in (name, "all") or (not kind and name not in UNASKED)]
    return render(
        request,
        "jobs",
        page=page,
        counts={name: sum(by_kind[one].get(name, 0) for one in chosen) for name in _STATES},
        kinds={name: sum(of_state.values()) for name, of_state in by_kind.items()},
        unasked=UNASKED,
        state=state,
        kind=kind,
        workers=workers,
        cursor=cursor,
    )


@router.get("/jobs/{job}")
def get_job(request: Request, job: JobId) -> Response:
    """One job: what it does, how far it is, and how it ended."""
    with state_of(request).reading.connect() as conn:
        found, workers = jobs.get(conn, job), workers_at_work(conn)
    # What was left open says nothing.
    asked = {name: value for name, value in found.parameters.items() if value not in (None, [], {}, "")}
    return render(request, "job", job=found, asked=asked, workers=workers)


@router.post("/jobs/{job}/cancel", dependencies=[Depends(refuse_other_sites)])
def cancel_job(request: Request, job: JobId) -> Response:
    """Cancels the job and shows it."""
    jobs.cancel(state_of(request).engine, job)
    return RedirectResponse(f"/jobs/{job}", 303)


@router.post("/jobs/{job}/retry", dependencies=[Depends(refuse_other_sites)])
def retry_job(request: Request, job: JobId) -> Response:
    """Queues what the job has not done and shows it."""
    state = state_of(request)
    jobs.retry(state.engine, job)
    jobs.ring(state.engine, state.celery, job)
    return RedirectResponse(f"/jobs/{job}", 303)
