"""Pictures: probe images, heat maps of units, and the images that units fire on most."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rosetta.addresses import parse_unit
from rosetta.results import Exemplar, Job, Page
from service.api.encoding import respond
from service.api.making import made
from service.api.routes.common import ModelName, ProbeName, UnitText
from service.api.state import State, state_of
from service.api.tags import Tag, accepted
from service.pictures import overlay as drawing
from service.pictures.cache import version_of_images
from service.pictures.stored import scale_of, stored_image, stored_map, version_of
from service.queries import exemplars
from service.queries.exemplars import MeasuredUnit, measured_unit
from service.queries.probe_images import ProbeImage, generator_of, probe_image
from service.submit_pictures import submit_pictures

router = APIRouter(prefix="/v1", tags=["pictures"])

_Pixels = npt.NDArray[np.uint8]
_Map = npt.NDArray[np.float32]
PICTURE: Any = {
    200: {"description": "The picture", "content": {"image/webp": {}, "image/png": {}}},
    304: {"description": "If-None-Match names this very picture"},
}

_Position = Annotated[int, Path(ge=0, le=2**31 - 1, description="place in the probe set, from 0")]
_Probe = Annotated[str | None, Query(description="the probe set; else the one on which the model was last mined")]
_Size = Annotated[int | None, Query(ge=16, le=2048, description="longer side, pixels; else the probe set's own")]
Format = Annotated[drawing.Format | None, Query(alias="format", description="else by Accept, and else webp")]
Version = Annotated[
    str | None,
    Query(description="as X-Rosetta-Version said: while that holds, the answer may be kept for ever"),
]
_Quantile = Annotated[
    float, Query(ge=0, lt=1, description="of the map's values, which the contour follows; 0: no contour")
]


@router.get(
    "/models/{model}/units/{unit:path}/exemplars", response_model=Page[Exemplar], summary="Images that a unit fires on"
)
def list_exemplars(
    request: Request,
    model: ModelName,
    unit: UnitText,
    probe: _Probe = None,
    by: Annotated[exemplars.Measure, Query(description="of the unit's activation map")] = "maximum",
) -> Response:
    """The images of a probe set on which the unit fires most, best first; of a dead unit none."""
    with state_of(request).reading.connect() as conn:
        return respond(Page(tuple(exemplars.list_exemplars(conn, model, parse_unit(unit), probe=probe, by=by))))


@router.get(
    "/models/{model}/units/{unit:path}/heatmap",
    response_class=Response,
    responses=PICTURE,
    summary="A unit's activation map on an image",
)
async def get_heatmap(
    request: Request,
    model: ModelName,
    unit: UnitText,
    image: Annotated[int, Query(ge=0, le=2**31 - 1, description="place in the probe set, from 0")],
    probe: _Probe = None,
    overlay: Annotated[bool, Query(description="over the image; else colours alone")] = True,
    quantile: _Quantile = drawing.QUANTILE,
    size: _Size = None,
    form: Format = None,
    version: Version = None,
) -> Response:
    """In colours from the unit's mean over the probe set to its high values; waits for a worker where it must.

    Where none is at work, the map is the one that mining left, and X-Rosetta-Resolution says so: `stored 14x14`.
    """
    state, form = state_of(request), form or accepted(request)
    measured, probed = await run_in_threadpool(_find, state, model, unit, probe, image)
    key, scale = version_of(measured), scale_of(measured)
    tag = Tag(key, [measured.unit.channel, image, scale.low, scale.high, overlay, quantile, size, form])
    if tag.is_known(request):
        return tag.unchanged(version)

    def read(*, coarse: bool = False) -> tuple[_Map, _Pixels | None, bool] | None:
        values = stored_map(state.settings, measured, image, coarse=coarse)
        pixels = stored_image(state.settings, probed, coarse=coarse) if overlay else None
        return None if values is None or (overlay and pixels is None) else (values, pixels, coarse)

    what = f"the map of {measured.model.name} on image {image} of {measured.probe_set.name}"
    values, pixels, coarse = await made(
        state, what, read, lambda: _submit_maps(state, measured, image), lambda: read(coarse=True)
    )
    if coarse:
        tag = tag.of_stored()
        if tag.is_known(request):
            return tag.unchanged(version)
    shape = drawing.fit(measured.probe_set.height, measured.probe_set.width, size)
    body, level = await run_in_threadpool(_draw, values, scale, pixels, shape, quantile, form)
    headers = {
        "x-rosetta-scale": f"{scale.low:.6g} {scale.high:.6g}",
        "x-rosetta-contour": "none" if level is None else f"{level:.6g}",
        "x-rosetta-dead": "true" if measured.dead else "false",
        "x-rosetta-resolution": _resolution(values, coarse=coarse),
    }
    return tag.answer(body, form, version, headers)


@router.get(
    "/probes/{probe}/images/{position}", response_class=Response, responses=PICTURE, summary="An image of a probe set"
)
async def get_image(
    request: Request,
    probe: ProbeName,
    position: _Position,
    size: _Size = None,
    form: Format = None,
    version: Version = None,
) -> Response:
    """The image as networks are shown it; one that a generator makes waits for a worker where it must.

    Where none is at work, it is the small one that mining left, and X-Rosetta-Resolution says so: `stored 64x64`.
    """
    state, form = state_of(request), form or accepted(request)
    image = await run_in_threadpool(_find_image, state, probe, position)
    tag = Tag(version_of_images(image.probe_set.digest), [position, size, form])
    if tag.is_known(request):
        return tag.unchanged(version)

    def read(*, coarse: bool = False) -> tuple[_Pixels, bool] | None:
        pixels = stored_image(state.settings, image, coarse=coarse)
        return None if pixels is None else (pixels, coarse)

    what = f"image {position} of {probe}"
    pixels, coarse = await made(state, what, read, lambda: _submit_image(state, image), lambda: read(coarse=True))
    if coarse:
        tag = tag.of_stored()
        if tag.is_known(request):
            return tag.unchanged(version)
    shape = drawing.fit(image.probe_set.height, image.probe_set.width, size)
    body = await run_in_threadpool(lambda: drawing.encode(drawing.resize_image(pixels, *shape), form))
    return tag.answer(body, form, version, {"x-rosetta-resolution": _resolution(pixels, coarse=coarse)})


def _find(state: State, model: str, unit: str, probe: str | None, image: int) -> tuple[MeasuredUnit, ProbeImage]:
    with state.reading.connect() as conn:
        measured = measured_unit(conn, model, parse_unit(unit), probe)
        return measured, probe_image(conn, measured.probe_set, image)


def _find_image(state: State, probe: str, position: int) -> ProbeImage:
    with state.reading.connect() as conn:
        return probe_image(conn, probe, position)


def _resolution(shown: npt.NDArray[Any], *, coarse: bool) -> str:
    """What the picture was drawn of: height and width, `stored` where it is what mining left."""
    height, width = shown.shape[:2]
    return f"{'stored ' if coarse else ''}{height}x{width}"


def _submit_maps(state: State, measured: MeasuredUnit, image: int) -> Job:
    """The job for the unit's layer; of an exemplar all exemplars are made, as a page shows them together."""
    with state.reading.connect() as conn:
        positions = exemplars.shown_with(conn, measured, image)
    return submit_pictures(
        state.engine,
        state.celery,
        wanted=[(measured.model, [measured.unit.layer])],
        probe_set=measured.probe_set,
        positions=positions,
        needed=[image],
    )


def _submit_image(state: State, image: ProbeImage) -> Job:
    with state.reading.connect() as conn:
        generator = generator_of(conn, image.probe_set)
    return submit_pictures(
        state.engine,
        state.celery,
        wanted=[(generator, [])],
        probe_set=image.probe_set,
        positions=[image.position],
    )


def _draw(
    values: _Map,
    scale: drawing.Scale,
    pixels: _Pixels | None,
    shape: tuple[int, int],
    quantile: float,
    form: drawing.Format,
) -> tuple[bytes, float | None]:
    """The heat map as a file, and the value of its contour."""
    picture, level = drawing.heatmap(values, scale, pixels, shape, quantile or None)
    return drawing.encode(picture, form), level
