"""Probe sets, and masks of what is to be seen on their images."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from rosetta.masks import Masks
from rosetta.results import Page, ProbeSet
from service.api.bodies import AddMasks, AddProbe
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit, ProbeName
from service.api.state import state_of
from service.queries import masks, pages, probes

router = APIRouter(prefix="/v1/probes", tags=["probe sets"])


@router.get("", response_model=Page[ProbeSet], summary="The probe sets, by name")
def list_probes(request: Request, limit: Limit = pages.DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
    """Probe sets, and the models mined on each."""
    with state_of(request).reading.connect() as conn:
        return respond(probes.list_probes(conn, limit=limit, cursor=cursor))


@router.post("", response_model=ProbeSet, summary="Make a probe set")
def add_probe(request: Request, body: AddProbe) -> Response:
    """The probe set, made now or stored before: the same name and images give the same one."""
    state = state_of(request)
    with state.engine.begin() as conn:
        if body.images is not None:
            images = [(image.name, image.digest) for image in body.images]
            size = probes.DEFAULT_SIZE if body.size is None else body.size
            return respond(probes.add_image_probe(conn, state.settings, body.name, images, size))
        assert body.generator is not None
        assert body.count is not None
        probe = probes.add_generator_probe(
            conn, body.name, body.generator, body.count, body.seed, body.class_index, body.truncation
        )
        return respond(probe)


@router.get("/{probe}", response_model=ProbeSet, summary="One probe set")
def get_probe(request: Request, probe: ProbeName) -> Response:
    """The probe set of exactly that name."""
    with state_of(request).reading.connect() as conn:
        return respond(probes.get_probe(conn, probe))


@router.get("/{probe}/masks", response_model=Page[Masks], summary="What a probe set has masks of")
def list_masks(request: Request, probe: ProbeName) -> Response:
    """By name, and on how many images each is to be seen."""
    with state_of(request).reading.connect() as conn:
        return respond(masks.list_masks(conn, probe))


@router.post("/{probe}/masks", response_model=Page[Masks], summary="Give a probe set masks")
def add_masks(request: Request, probe: ProbeName, body: AddMasks) -> Response:
    """All that it has masks of now; a thing's masks are replaced together, and nothing is stored where one is wrong."""
    state = state_of(request)
    with state.engine.begin() as conn:
        wanted = [masks.Mask(mask.text, mask.image, mask.digest) for mask in body.masks]
        return respond(masks.add_masks(conn, state.settings, probe, wanted))


@router.delete("/{probe}/masks/{text}", status_code=204, summary="Remove the masks of a thing")
def remove_masks(
    request: Request, probe: ProbeName, text: Annotated[str, Path(description="what they are masks of")]
) -> Response:
    """Labels that were found by them stay."""
    with state_of(request).engine.begin() as conn:
        masks.remove_masks(conn, probe, text)
    return Response(status_code=204)


@router.delete("/{probe}", status_code=204, summary="Remove a probe set and all that was mined on it")
def remove_probe(request: Request, probe: ProbeName) -> Response:
    """Refused while a job mines on it."""
    with state_of(request).engine.begin() as conn:
        probes.remove_probe(conn, probe)
    return Response(status_code=204)
