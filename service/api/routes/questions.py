"""Questions: in words, in SQL, exact correlations, and how much models share."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rosetta.addresses import parse_address
from rosetta.results import Answer, Job, ModelPair, Page, Table
from service.api.bodies import Ask, Correlate, Sql
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit
from service.api.state import state_of
from service.queries import comparisons, pages, questions, sql
from service.submit_correlate import submit_correlate

router = APIRouter(prefix="/v1", tags=["questions"])


@router.post("/ask", response_model=Answer, summary="Ask in words")
def ask(request: Request, body: Ask) -> Response:
    """What was understood, a sentence or a few, and the rows behind them."""
    with state_of(request).reading.connect() as conn:
        return respond(questions.answer(conn, body.question, body.probe))


@router.post(
    "/correlate",
    response_model=Job,
    status_code=202,
    summary="The exact correlations of candidates",
    responses={200: {"model": Job}},
)
def correlate(request: Request, body: Correlate) -> Response:
    """A job that runs the models once over the probe set and correlates the unit with each candidate.

    Its result has `matches`, by the model's name and the rank: fields as of a match, `correlation` exact, and
    `similarity` the estimate by sketches. The same candidates again are answered at once, with status 200.
    """
    state = state_of(request)
    model, unit = parse_address(body.unit)
    job = submit_correlate(
        state.engine,
        state.celery,
        model=model,
        unit=unit,
        candidates=body.candidates,
        neighbour=body.within,
        probe=body.probe,
        top=body.top,
    )
    return respond(job, 200 if job.already_done else 202)


@router.post("/sql", response_model=Table, summary="Ask in SQL")
def run_sql(request: Request, body: Sql) -> Response:
    """The rows of one statement, run by Postgres as `rosetta_reader`, which can read the views of `analytics`."""
    return respond(sql.run(state_of(request).database_url, body.query, body.limit))


@router.get("/pairs", response_model=Page[ModelPair], summary="How much models share")
def list_pairs(
    request: Request,
    model: Annotated[str | None, Query(description="one model; else every pair once")] = None,
    within: Annotated[
        str | None, Query(alias="in", description="what it is paired with: a model, a family or a nickname")
    ] = None,
    probe: Annotated[str | None, Query(description="one probe set; else all")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Best buddies of each pair of models: all, those at q < 0.05, and what chance alone gives."""
    with state_of(request).reading.connect() as conn:
        page = comparisons.list_pairs(conn, model=model, neighbour=within, probe=probe, limit=limit, cursor=cursor)
    return respond(page)
