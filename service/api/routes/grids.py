"""Grids: the figure of the paper, of a concept, of a unit and its matches, or of any units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rosetta.addresses import parse_unit
from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service.api.making import made
from service.api.routes.common import ModelName, UnitText
from service.api.routes.pictures import PICTURE, Format, Version
from service.api.state import State, state_of
from service.api.tags import Tag, accepted
from service.pictures import grid as figures
from service.pictures import overlay as drawing
from service.queries import grids
from service.queries.exemplars import Measure
from service.queries.grids import IMAGES, MOST_IMAGES, MOST_ROWS, ROWS, Grid
from service.submit_pictures import submit_pictures

router = APIRouter(prefix="/v1", tags=["pictures"])

_SIZE = 192
_MOST_PIXELS = 40_000_000  # of all cells

_Images = Annotated[int, Query(ge=1, le=MOST_IMAGES, description="how many at most")]
_Rows = Annotated[int, Query(ge=1, le=MOST_ROWS, description="units at most, the strongest")]
_Size = Annotated[int, Query(ge=16, le=1024, description="longer side of a cell, pixels; all else is in proportion")]
_Labels = Annotated[bool, Query(description="title, labels, the images themselves; else the heat maps alone")]
_Probe = Annotated[str | None, Query(description="the probe set; else the one on which the model was last mined")]
_By = Annotated[Measure, Query(description="which images: of the greatest maximum or mean of the unit's map")]


@router.get("/concepts/{concept}/grid", response_class=Response, responses=PICTURE, summary="A concept as a figure")
async def get_concept_grid(
    request: Request,
    concept: Annotated[int, Path(description="number of a concept")],
    images: _Images = IMAGES,
    rows: _Rows = ROWS,
    per_model: Annotated[int, Query(ge=1, le=MOST_ROWS, description="units of each model at most")] = 1,
    size: _Size = _SIZE,
    labels: _Labels = True,
    form: Format = None,
    version: Version = None,
) -> Response:
    """Rows are its strongest units, columns the images that its units together fire on most; beside the chance."""

    def find(conn: sa.Connection) -> Grid:
        return grids.concept_grid(conn, concept, images=images, rows=rows, per_model=per_model)

    return await _answer(request, find, size, form, version, labels=labels)


@router.get(
    "/models/{model}/units/{unit:path}/grid",
    response_class=Response,
    responses=PICTURE,
    summary="A unit and its matches as a figure",
)
async def get_unit_grid(
    request: Request,
    model: ModelName,
    unit: UnitText,
    probe: _Probe = None,
    by: _By = "maximum",
    within: Annotated[
        str | None, Query(alias="in", description="a model, family or nickname; else every model")
    ] = None,
    top: Annotated[int, Query(ge=1, le=MOST_ROWS, description="matches in each model")] = 1,
    best_buddies: Annotated[bool, Query(description="only units that are each other's best match")] = False,
    images: _Images = IMAGES,
    rows: _Rows = ROWS,
    size: _Size = _SIZE,
    labels: _Labels = True,
    form: Format = None,
    version: Version = None,
) -> Response:
    """Rows are the unit and its best matches, columns the images that it fires on most."""
    reference = parse_unit(unit)

    def find(conn: sa.Connection) -> Grid:
        return grids.unit_grid(
            conn,
            model,
            reference,
            probe=probe,
            by=by,
            within=within,
            top=top,
            best_buddies=best_buddies,
            images=images,
            rows=rows,
        )

    return await _answer(request, find, size, form, version, labels=labels)


@router.get("/grid", response_class=Response, responses=PICTURE, summary="Any units as a figure")
async def get_grid(
    request: Request,
    unit: Annotated[list[str], Query(description="addresses: model/layer:channel, or a model and a unit number")],
    probe: Annotated[str | None, Query(description="the probe set; else the one of the first unit's last mine")] = None,
    by: _By = "maximum",
    images: _Images = IMAGES,
    size: _Size = _SIZE,
    labels: _Labels = True,
    form: Format = None,
    version: Version = None,
) -> Response:
    """Rows are the units, columns the images that the first of them fires on most."""

    def find(conn: sa.Connection) -> Grid:
        return grids.units_grid(conn, unit, probe=probe, by=by, images=images)

    return await _answer(request, find, size, form, version, labels=labels)


async def _answer(
    request: Request,
    find: Callable[[sa.Connection], Grid],
    size: int,
    form: drawing.Format | None,
    version: str | None,
    *,
    labels: bool,
) -> Response:
    """The figure; waits for a worker where maps of it are not there yet."""
    state, form = state_of(request), form or accepted(request)
    grid = await run_in_threadpool(_find, state, find)
    _check_size(grid, size)
    tag = Tag(figures.version_of_grid(grid), [size, labels, form])
    if tag.is_known(request):
        return tag.unchanged(version)
    what = f"the grid of {len(grid.rows)} units on {len(grid.images)} images of {grid.probe_set.name}"

    def read(*, coarse: bool = False) -> tuple[figures.Parts, bool] | None:
        parts = figures.read(state.settings, grid, coarse=coarse)
        return None if parts is None else (parts, coarse)

    drawn, coarse = await made(state, what, read, lambda: _submit(state, grid), lambda: read(coarse=True))
    if coarse:
        tag = tag.of_stored()
        if tag.is_known(request):
            return tag.unchanged(version)
    body = await run_in_threadpool(lambda: drawing.encode(figures.draw(grid, drawn, size, labels=labels), form))
    return tag.answer(body, form, version, {"x-rosetta-resolution": "stored" if coarse else "own"})


def _find(state: State, find: Callable[[sa.Connection], Grid]) -> Grid:
    with state.reading.connect() as conn:
        return find(conn)


def _check_size(grid: Grid, size: int) -> None:
    """Returns when the figure is no larger than can be drawn at once.

    Raises:
        InvalidRequest: when it is.
    """
    cells = (len(grid.rows) + 1) * len(grid.images)
    if cells * size**2 > _MOST_PIXELS:
        fits = int((_MOST_PIXELS / cells) ** 0.5)
        raise InvalidRequest(
            f"a grid of {len(grid.rows)} units on {len(grid.images)} images has cells of at most {fits} pixels, not "
            f"{size}: ask for fewer images or rows, or for size={fits}",
            size=size,
        )


def _submit(state: State, grid: Grid) -> Job:
    """One job for all its models."""
    models = {row.unit.model.id: row.unit.model for row in grid.rows}
    layers: dict[int, set[str]] = {}
    for row in grid.rows:
        layers.setdefault(row.unit.model.id, set()).add(row.unit.unit.layer)
    return submit_pictures(
        state.engine,
        state.celery,
        wanted=[(model, sorted(layers[number])) for number, model in models.items()],
        probe_set=grid.probe_set,
        positions=[image.position for image in grid.images],
    )
