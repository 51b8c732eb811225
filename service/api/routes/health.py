"""Health: is the service alive, can it do its work, and what has it done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

from rosetta.errors import Unavailable
from rosetta.results import Check
from service.api.encoding import respond
from service.api.readiness import check_all
from service.api.state import state_of

router = APIRouter(tags=["health"])

_WARM_S = 5.0  # a database that does not answer keeps nobody waiting for longer


@dataclass(frozen=True)
class Health:
    """The service answers."""

    status: str
    version: str


@dataclass(frozen=True)
class Readiness:
    """The service can do its work."""

    status: str
    checks: list[Check]


@router.get("/healthz", response_model=Health, summary="Is the service alive?")
async def healthz() -> Response:
    """Asks nothing of the database, so that a database that is down does not restart the service."""
    return respond(Health("ok", version("rosetta-neurons")))


@router.get("/readyz", response_model=Readiness, summary="Can the service do its work?")
async def readyz(request: Request) -> Response:
    """Reaches the database, compares its schema with this version's, and reaches the broker; first it is warm."""
    await asyncio.wait({request.app.state.warming}, timeout=_WARM_S)
    checks = await run_in_threadpool(check_all, state_of(request))
    failed = [check for check in checks if not check.ok]
    if failed:
        message = "; ".join(f"{check.name}: {check.value}: {check.mend}" for check in failed)
        raise Unavailable(message, checks=checks)
    return respond(Readiness("ok", checks))


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
def metrics(request: Request) -> Response:
    """Requests and their latency by route, jobs by state, messages that wait for a worker."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
