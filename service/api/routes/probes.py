"""Probe sets."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from rosetta.results import Page, ProbeSet
from service.api.bodies import AddProbe
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit, ProbeName
from service.api.state import state_of
from service.queries import pages, probes

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


@router.delete("/{probe}", status_code=204, summary="Remove a probe set and all that was mined on it")
def remove_probe(request: Request, probe: ProbeName) -> Response:
    """Refused while a job mines on it."""
    with state_of(request).engine.begin() as conn:
        probes.remove_probe(conn, probe)
    return Response(status_code=204)
