"""Rosetta dictionaries: units of several models that are best buddies of a generator's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator

from rosetta.results import Dictionary
from service.api.encoding import respond
from service.api.state import state_of
from service.queries import dictionaries

router = APIRouter(prefix="/v1/dictionary", tags=["concepts"])


@router.get(
    "", response_model=Dictionary, summary="Tuples of units, one a model, that are best buddies of a generator's"
)
def find_dictionary(
    request: Request,
    generator: Annotated[str, Query(description="a model, or what stands for one: a nickname, a family")],
    models: Annotated[str, Query(description="the other models, with commas", examples=["clip-rn50,age-net"])],
    probe: Annotated[str | None, Query(description="the probe set; else the newest on which all were mined")] = None,
    k: Annotated[int, Query(ge=1, description="each is among the other's k best")] = 1,
    strict: Annotated[bool, Query(description="the models' units must be best buddies of each other, too")] = False,
    q: Annotated[
        float | None,
        BeforeValidator(lambda text: None if text == "all" else text),
        Query(description="every pair is below this q-value; the word all: whatever it is"),
    ] = dictionaries.Q_VALUE,
    limit: Annotated[
        int, Query(ge=1, le=dictionaries.LARGEST_LIMIT, description="tuples at most; `total` says how many there are")
    ] = dictionaries.DEFAULT_LIMIT,
) -> Response:
    """Those of highest mean r first; when there is none, the largest set of models that has some."""
    # Several statements, one snapshot: a job may replace a comparison between two of them.
    with state_of(request).reading.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
        return respond(
            dictionaries.find_dictionary(
                conn,
                generator,
                [name for name in map(str.strip, models.split(",")) if name],
                probe=probe,
                k=k,
                strict=strict,
                q_value=q,
                limit=limit,
            )
        )
