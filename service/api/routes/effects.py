"""Interventions in a generator's units, and what they cause."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rosetta.interventions import Action, Effect
from rosetta.results import Job, Page
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit
from service.api.state import state_of
from service.api.steering_bodies import Intervene
from service.queries import effects, pages
from service.submit_effects import submit_effects

router = APIRouter(prefix="/v1", tags=["effects"])


@router.post("/interventions", response_model=Job, status_code=202, summary="Measure what a generator's units cause")
def intervene(request: Request, body: Intervene) -> Response:
    """A job: units that other models match are changed, and the matches are watched.

    What it finds takes the place of what was found with the same probe set, generator, model and action. The same
    request again is answered at once, with status 200, while that stands.
    """
    state = state_of(request)
    job = submit_effects(state.engine, state.celery, **body.model_dump())
    return respond(job, 200 if job.already_done else 202)


@router.get("/effects", response_model=Page[Effect], summary="What units cause, the strongest first")
def list_effects(
    request: Request,
    model: Annotated[str | None, Query(description="a generator, or a model that looked on")] = None,
    unit: Annotated[str | None, Query(description="address of a unit that was changed, or watched")] = None,
    probe: Annotated[str | None, Query(description="the probe set on which the matches were mined")] = None,
    action: Annotated[Action | None, Query(description="else all")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Each beside its controls."""
    with state_of(request).reading.connect() as conn:
        return respond(
            effects.list_effects(conn, model=model, unit=unit, probe=probe, action=action, limit=limit, cursor=cursor)
        )
