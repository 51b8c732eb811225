"""Models, their units, and the units' matches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rosetta.addresses import parse_unit
from rosetta.errors import InvalidRequest
from rosetta.results import Job, Match, Model, Page, Unit
from service.api.bodies import RegisterModel
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit, ModelName, UnitText
from service.api.state import state_of
from service.queries import matches, models, pages, units
from service.queries.approximate import find_approximate
from service.submit_register import submit_register

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=Page[Model], summary="The zoo, by name")
def list_models(
    request: Request,
    family: Annotated[str | None, Query(description="only this family")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Models without their layers."""
    with state_of(request).reading.connect() as conn:
        return respond(models.list_models(conn, family=family, limit=limit, cursor=cursor))


@router.post("", response_model=Job, status_code=202, summary="Register a model")
def register_model(request: Request, body: RegisterModel) -> Response:
    """A job that loads the network and stores its layers and units."""
    state = state_of(request)
    job = submit_register(
        state.engine,
        state.celery,
        state.settings,
        name=body.name,
        source=body.source,
        weights=body.weights,
        layers=body.layers,
        family=body.family,
        aliases=body.aliases,
    )
    return respond(job, 202)


@router.get("/{model}", response_model=Model, summary="One model and its layers")
def get_model(request: Request, model: ModelName) -> Response:
    """The model of exactly that name."""
    with state_of(request).reading.connect() as conn:
        return respond(models.get_model(conn, model))


@router.delete("/{model}", status_code=204, summary="Remove a model and all that was mined of it")
def remove_model(request: Request, model: ModelName) -> Response:
    """Refused while a probe set consists of its images, or a job is at work on it."""
    with state_of(request).engine.begin() as conn:
        models.remove_model(conn, model)
    return Response(status_code=204)


@router.get("/{model}/units", response_model=Page[Unit], summary="A model's units, by number")
def list_units(
    request: Request,
    model: ModelName,
    layer: Annotated[str | None, Query(description="only this layer")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Units without their statistics."""
    with state_of(request).reading.connect() as conn:
        return respond(units.list_units(conn, model, layer=layer, limit=limit, cursor=cursor))


# A layer may have slashes in its name, so a unit is the rest of the path, and the longer route comes first.
@router.get("/{model}/units/{unit:path}/matches", response_model=Page[Match], summary="A unit's matches")
def find_matches(
    request: Request,
    model: ModelName,
    unit: UnitText,
    within: Annotated[
        str | None, Query(alias="in", description="a model, a family or a nickname; else every model")
    ] = None,
    probe: Annotated[str | None, Query(description="the probe set; else the one last mined with these models")] = None,
    top: Annotated[int | None, Query(description="how many in each model; else 10, or what is kept")] = None,
    best_buddies: Annotated[bool, Query(description="only units that are each other's best match")] = False,
    approximate: Annotated[bool, Query(description="estimated from sketches, in every model that has them")] = False,
    limit: Limit = pages.LARGEST_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """The best matches of a unit in each model, by the model's name and the rank."""
    reference = parse_unit(unit)
    if approximate and best_buddies:
        raise InvalidRequest("best buddies are of exact matches: leave out best_buddies, or approximate")
    with state_of(request).reading.connect() as conn:
        if approximate:
            where = {"neighbour": within, "probe": probe}
            found = find_approximate(conn, model, reference, **where, top=top, limit=limit, cursor=cursor)
            return respond(found)
        page = matches.find_matches(
            conn,
            model,
            reference,
            neighbour=within,
            probe=probe,
            top=top,
            best_buddies=best_buddies,
            limit=limit,
            cursor=cursor,
        )
    return respond(page)


@router.get("/{model}/units/{unit:path}", response_model=Unit, summary="One unit and its statistics")
def get_unit(request: Request, model: ModelName, unit: UnitText) -> Response:
    """A unit by its number or by layer:channel."""
    with state_of(request).reading.connect() as conn:
        return respond(units.get_unit(conn, model, parse_unit(unit)))
