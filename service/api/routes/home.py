"""The landing page: what runs here, the zoo, the probe sets, and a box to ask in. It needs no JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from rosetta.errors import RosettaError, Unavailable
from rosetta.results import ModelPair
from service.api.state import State, state_of
from service.queries import buddies, comparisons, models, names, probes, questions

router = APIRouter(include_in_schema=False)

_SHOWN = 100  # rows of a table; the API has the rest
_HEADERS = {
    # The page is whole in itself: it loads nothing, runs nothing, and sends its form only here.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_templates = Environment(
    loader=PackageLoader("service.api"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@router.get("/")
def home(request: Request, q: Annotated[str, Query()] = "", probe: Annotated[str, Query()] = "") -> Response:
    """The page; with `q`, the answer to that question on it."""
    page: dict[str, Any] = {"version": version("rosetta-neurons"), "question": q, "probe": probe}
    page |= {"answer": None, "problem": None, "models": [], "probes": [], "pairs": [], "examples": [], "more": False}
    status = 200
    try:
        _fill(page, state_of(request), q.strip(), probe)
    except sa.exc.OperationalError:
        page["problem"], status = Unavailable("the database does not answer: see `rosetta doctor`"), 503
    problem = page["problem"]
    if isinstance(problem, RosettaError):
        status = problem.status
    return HTMLResponse(_templates.get_template("home.html").render(page), status_code=status, headers=_HEADERS)


def _fill(page: dict[str, Any], state: State, question: str, probe: str) -> None:
    with state.reading.connect() as conn:
        zoo = models.list_models(conn, limit=_SHOWN)
        page["models"] = zoo.items
        page["probes"] = probes.list_probes(conn, limit=_SHOWN).items
        page["pairs"] = comparisons.list_pairs(conn, limit=_SHOWN).items
        page["more"] = zoo.next_cursor is not None
        page["examples"] = _examples(conn, page["pairs"], {model.name for model in zoo.items if model.is_generator})
        if question:
            try:
                page["answer"] = questions.answer(conn, question, probe or None)
            except RosettaError as error:
                page["problem"] = error


def _examples(conn: sa.Connection, pairs: Sequence[ModelPair], generators: set[str]) -> list[str]:
    """Questions that have a good answer here; none before anything was mined."""
    if not pairs:
        return []
    pair = max(pairs, key=lambda pair: (bool({pair.model, pair.neighbour_model} & generators), pair.best_buddies))
    one, other = pair.model, pair.neighbour_model
    if other in generators:
        one, other = other, one
    ids = [names.model_row(conn, name).id for name in (one, other)]
    found = comparisons.latest_pair(conn, ids[0], ids[1], None)
    strongest = buddies.strongest(conn, found.id, top=1) if found else ()
    return [
        *(f"which neurons in {other} match {one} unit {match.unit}?" for match in strongest),
        f"what are the best buddies of {one} and {other}?",
        f"how many neurons do {one} and {other} share?",
    ]
