"""Directions of generators' latents: found, listed, walked along."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rosetta.directions import DirectionSet
from rosetta.errors import InvalidRequest
from rosetta.results import Job, Page
from service import submit_directions
from service.api.encoding import respond
from service.api.making import made
from service.api.routes.common import Cursor, Limit
from service.api.routes.pictures import PICTURE, Format, Version
from service.api.state import State, state_of
from service.api.steering_bodies import FindDirections
from service.api.tags import Tag, accepted
from service.pictures import overlay as drawing
from service.pictures.cache import Cache
from service.queries import directions, pages
from service.submit_directions import Walk, submit_walk, walk_along

router = APIRouter(prefix="/v1/directions", tags=["directions"])

_Id = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of directions")]
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"{_NUMBER}\.\.{_NUMBER}")


@router.post("", response_model=Job, status_code=202, summary="Find directions along which a generator changes most")
def find_directions(request: Request, body: FindDirections) -> Response:
    """A job; its result names the `directions`. The same again is answered at once while they are there."""
    state = state_of(request)
    job = submit_directions.submit_directions(state.engine, state.celery, **body.model_dump())
    return respond(job, 200 if job.already_done else 202)


@router.get("", response_model=Page[DirectionSet], summary="Directions, newest first")
def list_directions(
    request: Request,
    generator: Annotated[str | None, Query(description="a model, a family or a nickname")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Without their axes."""
    with state_of(request).reading.connect() as conn:
        return respond(directions.list_directions(conn, generator=generator, limit=limit, cursor=cursor))


@router.get("/{directions_id}", response_model=DirectionSet, summary="Directions, and what moves along each")
def get_directions(request: Request, directions_id: _Id) -> Response:
    """The axis that changes most first."""
    with state_of(request).reading.connect() as conn:
        return respond(directions.get_directions(conn, directions_id))


@router.delete("/{directions_id}", status_code=204, summary="Remove directions")
def remove_directions(request: Request, directions_id: _Id) -> Response:
    """With all their axes."""
    with state_of(request).engine.begin() as conn:
        directions.remove_directions(conn, directions_id)
    return Response(status_code=204)


@router.get("/{directions_id}/walk", response_class=Response, responses=PICTURE, summary="Images along a direction")
async def walk(
    request: Request,
    directions_id: _Id,
    axis: Annotated[int, Query(ge=0, description="which of the directions, from 0")] = 0,
    sigma: Annotated[str, Query(description="from where to where, in deviations")] = "-2..2",
    steps: Annotated[int, Query(description="images of the walk")] = submit_directions.STEPS,
    seed: Annotated[int, Query(description="of the image that it leads through, in its middle")] = 0,
    translation: Annotated[int | None, Query(ge=1, description="leads through an image of this translation")] = None,
    position: Annotated[int, Query(ge=0, description="the image's place in the translation")] = 0,
    size: Annotated[int | None, Query(ge=16, le=512, description="height, pixels; else the generator's own")] = None,
    form: Format = None,
    version: Version = None,
) -> Response:
    """All of them side by side, so that a slider moves without asking again; waits for a worker where it must."""
    state, form = state_of(request), form or accepted(request)
    low, high = _range(sigma)

    def find() -> Walk:
        with state.reading.connect() as conn:
            return walk_along(
                conn,
                directions_id,
                axis=axis,
                low=low,
                high=high,
                steps=steps,
                seed=seed,
                translation=translation,
                position=position,
            )

    found = await run_in_threadpool(find)
    tag = Tag(found.key, [size, form])
    if tag.is_known(request):
        return tag.unchanged(version)
    pixels = await made(
        state,
        f"the walk along axis {axis} of directions {directions_id}",
        lambda: _kept(state, found),
        lambda: submit_walk(state.engine, state.celery, found),
    )
    if size is not None:
        pixels = drawing.resize_image(pixels, size, round(pixels.shape[1] * size / pixels.shape[0]))
    body = await run_in_threadpool(drawing.encode, pixels, form)
    return tag.answer(body, form, version, {"x-rosetta-steps": str(steps)})


def _kept(state: State, found: Walk) -> drawing.Pixels | None:
    cache = Cache(state.settings)
    return cache.read_image(cache.walk_path(found.key))


def _range(sigma: str) -> tuple[float, float]:
    match = _RANGE.fullmatch(sigma.strip())
    if match is None:
        raise InvalidRequest(f"'{sigma}' is no range of deviations: write it like -2..2", sigma=sigma)
    return float(match[1]), float(match[2])
