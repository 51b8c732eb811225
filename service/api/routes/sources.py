"""Sources of networks that need not be registered."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rosetta.results import Job
from service.api.bodies import InspectSource
from service.api.encoding import respond
from service.api.state import state_of
from service.submit_inspect import submit_inspect

router = APIRouter(prefix="/v1/sources", tags=["models"])


@router.post("/layers", response_model=Job, status_code=202, summary="What every module of a network gives")
def inspect_source(request: Request, body: InspectSource) -> Response:
    """A job that loads the network and registers nothing.

    Its result has `modules` in the order of the tree, each with `path`, `class_name`, `channels`, `height` and `width`
    of its maps (null, and `why_not`, where it cannot be recorded), `calls` in a pass over one image, and whether it is
    `chosen`; `layers` and `units` count what registering it would record.
    """
    state = state_of(request)
    job = submit_inspect(
        state.engine,
        state.celery,
        state.settings,
        source=body.source,
        weights=body.weights,
        layers=body.layers,
    )
    return respond(job, 202)
