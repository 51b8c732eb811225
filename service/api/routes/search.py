"""Searches: units like a unit, what a text finds, and units that answer to an image."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rosetta.addresses import parse_address, parse_unit
from rosetta.errors import InvalidRequest
from rosetta.image_search import ImageAnswer
from rosetta.results import Page, SketchMatch
from rosetta.text_search import TextAnswer
from service import jobs
from service.api.bodies import Search
from service.api.encoding import respond
from service.api.making import made
from service.api.state import State, state_of
from service.api.tags import Tag, accepted
from service.api.text_search import find_by_text
from service.pictures import overlay as drawing
from service.pictures.cache import Cache
from service.pictures.reading import read_image
from service.queries import search
from service.queries.exemplars import MeasuredUnit, measured_unit
from service.submit_look import KEPT, Look, answer_of, look_at, looked_key, submit_look
from service.uploads import check_digest, uploaded_image

router = APIRouter(prefix="/v1", tags=["search"])

_Digest = Annotated[str, Path(description="sha256 of an uploaded image")]
_Size = Annotated[int | None, Query(ge=16, le=2048, description="longer side, pixels; else the probe set's own")]
_FILES = {200: {"description": "The picture", "content": {"image/webp": {}, "image/png": {}}}}


@router.post(
    "/search",
    response_model=Page[SketchMatch] | TextAnswer | ImageAnswer,
    summary="The nearest of a unit, what a text finds, or what answers to an image",
)
async def search_anything(request: Request, body: Search) -> Response:
    """Of a `unit`, units of other models, nearest first: the cosine of two sketches approximates Pearson r.

    Of a `text`, units and concepts whose labels have its words; and, where an image-text model is registered, units
    that respond as the images fit the text, `searched` and `note` saying whether it was asked. Of an uploaded `image`,
    units by how much more they fire inside its `box` than outside, or on all of it, against their distribution over the
    probe set. Text and image may wait for a worker.
    """
    state = state_of(request)
    if body.image is not None:
        return respond(await _by_image(state, body))
    if body.text is not None:
        options = {"image_text": body.image_text, "within": body.within, "probe": body.probe}
        return respond(await find_by_text(state, body.text, **options, top=body.top))
    return respond(Page(items=tuple(await run_in_threadpool(_by_unit, state, body))))


def _by_unit(state: State, body: Search) -> list[SketchMatch]:
    model, unit = parse_address(body.unit or "")
    with state.engine.begin() as conn:
        return search.near_unit(conn, model, unit, neighbour=body.within, probe=body.probe, top=body.top)


async def _by_image(state: State, body: Search) -> ImageAnswer:
    if body.top > KEPT:
        raise InvalidRequest(f"top is at most {KEPT} of an image, not {body.top}", top=body.top)

    def ask() -> Look:
        with state.reading.connect() as conn:
            return look_at(conn, state.settings, body.image or "", box=body.box, within=body.within, probe=body.probe)

    return await find_by_image(state, await run_in_threadpool(ask), body.top)


async def find_by_image(state: State, look: Look, top: int) -> ImageAnswer:
    """The units that answer to an image, the best first; waits for a worker where it was not looked at yet.

    Raises:
        JobFailed: when it cannot be looked at.
        Unavailable: when no worker is at work, or it takes longer than a request waits.
    """

    def read() -> ImageAnswer | None:
        with state.reading.connect() as conn:
            done = jobs.finished(conn, look.key)
        return None if done is None else answer_of(look, done, top)

    what = f"what answers to image {look.digest[:12]}"
    return await made(state, what, read, lambda: submit_look(state.engine, state.celery, look))


@router.get("/images/{sha256}", response_class=Response, responses=_FILES, summary="An uploaded image")  # type: ignore[arg-type]
def get_image(
    request: Request,
    sha256: _Digest,
    size: Annotated[int, Query(ge=16, le=2048, description="longer side, pixels")] = 512,
    form: Annotated[drawing.Format | None, Query(alias="format", description="else by Accept, and else webp")] = None,
) -> Response:
    """Whole, upright and without what else a file may hold; as networks see it, it is the square in its middle."""
    form = form or accepted(request)
    tag = Tag(check_digest(sha256)[:32], [size, form])
    if tag.is_known(request):
        return tag.unchanged(tag.version)
    pixels = read_image(uploaded_image(state_of(request).settings, sha256), size, whole=True)
    return tag.answer(drawing.encode(pixels, form), form, tag.version, {})


@router.get(
    "/images/{sha256}/heatmap",
    response_class=Response,
    responses=_FILES,  # type: ignore[arg-type]
    summary="A unit's activation map on an uploaded image",
)
async def get_heatmap(
    request: Request,
    sha256: _Digest,
    model: Annotated[str, Query(description="name of a model")],
    unit: Annotated[str, Query(description="a unit's number, or layer:channel")],
    probe: Annotated[str | None, Query(description="whose statistics give the colours; else as in a search")] = None,
    size: _Size = None,
    form: Annotated[drawing.Format | None, Query(alias="format", description="else by Accept, and else webp")] = None,
) -> Response:
    """Over the square that networks see; waits for a worker where the model has not looked at the image yet."""
    state, form = state_of(request), form or accepted(request)

    def find() -> tuple[Look, MeasuredUnit]:
        with state.reading.connect() as conn:
            look = look_at(conn, state.settings, sha256, within=model, probe=probe)
            return look, measured_unit(conn, model, parse_unit(unit), look.probe_set.name)

    look, measured = await run_in_threadpool(find)
    square, row, place = look.probe_set.height, measured.model, measured.unit
    key = looked_key(sha256, square, row.source, row.weights_digest, place.layer)
    scale = drawing.Scale.of(measured.mean, measured.std, measured.maximum)
    tag = Tag(key, [place.channel, scale.low, scale.high, size, form])
    if tag.is_known(request):
        return tag.unchanged(None)
    cache = Cache(state.settings)
    values = await made(
        state,
        f"the map of {row.name} on image {sha256[:12]}",
        lambda: cache.read_map(cache.maps_path(key, 0), place.channel),
        lambda: submit_look(state.engine, state.celery, look, again=True),
    )

    def draw() -> bytes:
        pixels = read_image(uploaded_image(state.settings, sha256), square)
        picture, _ = drawing.heatmap(values, scale, pixels, drawing.fit(square, square, size), drawing.QUANTILE)
        return drawing.encode(picture, form)

    return tag.answer(await run_in_threadpool(draw), form, None, {})
