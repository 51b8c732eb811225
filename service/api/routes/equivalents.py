"""Translations between models: the units of one told from those of another."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import FileResponse

from rosetta.equivalents import Equivalents
from rosetta.errors import NotFound
from rosetta.results import Job, Page
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit
from service.api.state import state_of
from service.api.steering_bodies import FitEquivalents
from service.queries import equivalents, pages
from service.submit_equivalents import coefficients_path, submit_equivalents

router = APIRouter(prefix="/v1/equivalents", tags=["equivalents"])

_Id = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of a translation between models")]
_FILE: Any = {200: {"description": "A safetensors file", "content": {"application/octet-stream": {}}}}


@router.post("", response_model=Job, status_code=202, summary="Fit a translation between two models")
def fit(request: Request, body: FitEquivalents) -> Response:
    """A job; its result names the `equivalents`. The same again is answered at once while they are there."""
    state = state_of(request)
    job = submit_equivalents(state.engine, state.celery, state.settings, **body.model_dump())
    return respond(job, 200 if job.already_done else 202)


@router.get("", response_model=Page[Equivalents], summary="Translations between models, newest first")
def list_equivalents(
    request: Request,
    source: Annotated[str | None, Query(description="from a model, a family or a nickname")] = None,
    target: Annotated[str | None, Query(description="to a model, a family or a nickname")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Without their units."""
    with state_of(request).reading.connect() as conn:
        return respond(equivalents.list_equivalents(conn, source=source, target=target, limit=limit, cursor=cursor))


@router.get("/{number}", response_model=Equivalents, summary="A translation, and how well it tells each unit")
def get_equivalents(request: Request, number: _Id) -> Response:
    """R squared on held-out images, beside what permuted images give."""
    with state_of(request).reading.connect() as conn:
        return respond(equivalents.get_equivalents(conn, number))


@router.get("/{number}/coefficients", response_class=Response, responses=_FILE, summary="Its coefficients, as a file")
def get_coefficients(request: Request, number: _Id) -> Response:
    """Safetensors: units, matches, weights and statistics; `about` says in JSON which layers the models have."""
    state = state_of(request)
    with state.reading.connect() as conn:
        digest = equivalents.digest_of(conn, number)
    path = coefficients_path(state.settings, digest)
    if not path.is_file():
        raise NotFound(
            f"the coefficients of translation {number} are not in the data directory any longer: fit it again",
            equivalents=number,
        )
    headers = {"etag": f'"{digest[:32]}"', "cache-control": "private, no-cache"}
    name = f"equivalents-{number}.safetensors"
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=headers)
