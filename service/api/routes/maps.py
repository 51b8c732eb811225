"""Maps: made by a job, listed, looked at, and their points as one file of bytes."""

from __future__ import annotations

import gzip
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response

from rosetta.maps import PLANES, POINT_BYTES, MapVersion
from rosetta.results import Job, Page
from service.api.bodies import MakeMap
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit
from service.api.state import state_of
from service.pictures import scatter
from service.queries import concepts, maps, pages
from service.submit_map import submit_map

router = APIRouter(prefix="/v1/maps", tags=["maps"])

_YEAR_S = 365 * 24 * 3600
_LAYOUT = f"""Planes of N numbers, little-endian, without a header, one after the other:
x float32, y float32, unit int32, concept int32 (-1: in none), model uint16, layer uint16; the body has {POINT_BYTES} N
bytes. `model` is a place in `models` of the map, `layer` a place in the layers of that model."""
_POINTS: Any = {
    200: {"description": _LAYOUT, "content": {"application/octet-stream": {}}},
    304: {"description": "If-None-Match names these very points"},
}
_PICTURE: Any = {200: {"description": "The picture", "content": {"image/png": {}}}}

_Map = Annotated[int, Path(alias="map", ge=1, le=2**31 - 1, description="number of a map")]


@router.get("", response_model=Page[MapVersion], summary="Maps, newest first")
def list_maps(
    request: Request,
    probe: Annotated[str | None, Query(description="the probe set; else all of them")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Maps without what is on them."""
    with state_of(request).reading.connect() as conn:
        return respond(maps.list_maps(conn, probe=probe, limit=limit, cursor=cursor))


@router.post("", response_model=Job, status_code=202, summary="Make a map of a probe set")
def make_map(request: Request, body: MakeMap) -> Response:
    """A job; each mining job of a zoo that is not too large has one of its own. Older versions stay readable."""
    state = state_of(request)
    job = submit_map(
        state.engine,
        state.celery,
        probe=body.probe,
        n_neighbors=body.n_neighbors,
        min_dist=body.min_dist,
        seed=body.seed,
    )
    return respond(job, 202)


@router.get("/{map}", response_model=MapVersion, summary="One map, and what its points mean")
def get_map(request: Request, map_id: _Map) -> Response:
    """The models and layers on it, and where the points lie."""
    with state_of(request).reading.connect() as conn:
        return respond(maps.get_map(conn, map_id))


@router.get("/{map}/points", response_class=Response, responses=_POINTS, summary="The points of a map, in binary")
def get_points(
    request: Request,
    map_id: _Map,
    version: Annotated[
        str | None, Query(description="`points_version` of the map: with it, the answer may be kept for ever")
    ] = None,
) -> Response:
    """All points at once, by model and unit; the concepts are the newest of the probe set."""
    with state_of(request).reading.connect() as conn:
        about = maps.get_map(conn, map_id)
        kept = f"max-age={_YEAR_S}, immutable" if version == about.points_version else "no-cache"
        # Weak: the same points, however they are packed.
        headers = {
            "etag": f'W/"{about.points_version}"',
            "cache-control": f"private, {kept}",
            "vary": "Accept-Encoding",
        }
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if known & {f'"{about.points_version}"', "*"}:
            return Response(status_code=304, headers=headers)
        points = maps.read_points(conn, map_id)
    body = b"".join(
        getattr(points, name).astype(np.dtype(code).newbyteorder("<")).tobytes() for name, code, _ in PLANES
    )
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers["content-encoding"] = "gzip"
    return Response(body, media_type="application/octet-stream", headers=headers)


@router.get("/{map}/picture", response_class=Response, responses=_PICTURE, summary="A map as a picture")
def get_picture(
    request: Request,
    map_id: _Map,
    colour: Annotated[scatter.Colour, Query(description="what colours say: model, layer or concept")] = "model",
    model: Annotated[list[str] | None, Query(description="only the units of these models")] = None,
    concept: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="a concept that stands out")] = None,
    size: Annotated[int, Query(ge=100, le=2048, description="width, pixels")] = 960,
) -> Response:
    """PNG without a ground, for light pages and dark ones."""
    with state_of(request).reading.connect() as conn:
        about, points = maps.get_map(conn, map_id), maps.read_points(conn, map_id)
        shown = maps.largest_concepts(conn, about, len(scatter.PALETTE)) if colour == "concept" else []
        raised = None if concept is None else maps.members_on(about, points, concepts.get_concept(conn, concept))
    tints = scatter.colours(points, colour, [len(one.layers) for one in about.models], [one.id for one in shown])
    if model:
        keep = np.isin(points.model, [place for place, one in enumerate(about.models) if one.name in model])
        points, tints = points.where(keep), tints[keep]
        raised = None if raised is None else raised[keep]
    return Response(
        scatter.draw(points, tints, width=size, raised=raised),
        media_type="image/png",
        headers={"cache-control": "private, no-cache"},
    )
