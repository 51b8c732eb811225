"""Concepts: found by a job, listed, looked at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from rosetta.results import Concept, Job, Page
from service.api.bodies import FindConcepts
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit
from service.api.state import state_of
from service.queries import concepts, pages
from service.submit_cluster import submit_cluster

router = APIRouter(prefix="/v1/concepts", tags=["concepts"])


@router.get("", response_model=Page[Concept], summary="Concepts, those of most models first")
def list_concepts(
    request: Request,
    probe: Annotated[str | None, Query(description="the probe set; else all of them")] = None,
    version: Annotated[int | None, Query(description="of the probe set's concepts; else the newest")] = None,
    min_models: Annotated[int, Query(ge=2, description="models a concept spans at least")] = 2,
    model: Annotated[str | None, Query(description="with a unit of this model, family or nickname")] = None,
    order: Annotated[concepts.Order, Query(description="models, cohesion, stability or units")] = "models",
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Concepts without their members."""
    with state_of(request).reading.connect() as conn:
        return respond(
            concepts.list_concepts(
                conn,
                probe=probe,
                version=version,
                min_models=min_models,
                model=model,
                order=order,
                limit=limit,
                cursor=cursor,
            )
        )


@router.post("", response_model=Job, status_code=202, summary="Find the concepts of a probe set anew")
def find_concepts(request: Request, body: FindConcepts) -> Response:
    """A job; each mining job has one of its own, with the usual numbers. Older versions stay readable."""
    state = state_of(request)
    job = submit_cluster(
        state.engine,
        state.celery,
        probe=body.probe,
        resolution=body.resolution,
        q_value=body.q_value,
        k=body.k,
        seed=body.seed,
    )
    return respond(job, 202)


@router.get("/{concept}", response_model=Concept, summary="One concept and its members")
def get_concept(request: Request, concept: Annotated[int, Path(description="number of a concept")]) -> Response:
    """The members by model, the strongest first."""
    with state_of(request).reading.connect() as conn:
        return respond(concepts.get_concept(conn, concept))
