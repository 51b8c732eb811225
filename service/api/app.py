"""The application: routes and middleware around the query layer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.concurrency import run_in_threadpool

from service import uploads, web
from service.api import failures
from service.api.access import Access
from service.api.limits import Limits
from service.api.observing import Meters, Observing
from service.api.readiness import Stock
from service.api.routes import (
    concepts,
    dictionary,
    directions,
    effects,
    equivalents,
    grids,
    health,
    jobs,
    labels,
    maps,
    models,
    pictures,
    probes,
    questions,
    search,
    sources,
    steering,
    tables,
    translations,
)
from service.api.routes import uploads as upload_routes
from service.api.routes.common import refuse_unknown_parameters
from service.api.state import open_state
from service.settings import Settings
from service.web.warming import warm_up

_DESCRIPTION = """Ask what neural networks have in common: which units of different networks respond alike.

Every error is `{"error": {"code", "message", "details", "request_id"}}`. Lists take `limit` and `cursor`. With
`ROSETTA_API_KEYS` set, send a key as `Authorization: Bearer KEY`."""
SWEEP_S = 3600.0
_ERRORS = {"4XX": {"model": failures.ErrorBody}, "5XX": {"model": failures.ErrorBody}}


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects when it starts, not before.

    Args:
        settings: `database_url` and `broker_url` are needed by the time it starts.
    """
    app = FastAPI(
        title="Rosetta",
        version=version("rosetta-neurons"),
        description=_DESCRIPTION,
        lifespan=_lifespan,
        # Their pages load scripts from elsewhere; /openapi.json is for any viewer.
        docs_url=None,
        redoc_url=None,
    )
    registry = CollectorRegistry()
    app.state.settings = settings
    app.state.registry = registry
    app.state.rosetta = None
    registry.register(Stock(lambda: app.state.rosetta))
    failures.install(app)
    # Pictures first: a unit, whose layer may have slashes, is the rest of a path in `models`.
    for routes in (
        grids,
        labels,
        pictures,
        models,
        sources,
        probes,
        upload_routes,
        jobs,
        concepts,
        dictionary,
        directions,
        effects,
        equivalents,
        maps,
        questions,
        search,
        steering,
        tables,
        translations,
    ):
        app.include_router(
            routes.router,
            responses=_ERRORS,  # type: ignore[arg-type]
            dependencies=[Depends(refuse_unknown_parameters)],
        )
    app.include_router(health.router)
    web.install(app)
    # The last one added is the first to see a request.
    app.add_middleware(Limits, image_bytes=settings.max_image_bytes)
    app.add_middleware(Access, keys=settings.api_keys)
    app.add_middleware(Observing, meters=Meters(registry))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    with open_state(settings) as state:
        app.state.rosetta = state
        sweeping = asyncio.create_task(_sweep(settings))
        stop = asyncio.Event()
        app.state.warming = asyncio.create_task(warm_up(app, next(iter(settings.api_keys), None), stop))
        try:
            yield
        finally:
            sweeping.cancel()
            stop.set()
            await asyncio.wait({app.state.warming})  # what it has begun needs the state
            app.state.rosetta = None


async def _sweep(settings: Settings) -> None:
    """Deletes old uploads now and then, as long as the application runs."""
    while True:
        await run_in_threadpool(uploads.forget_old, settings)
        await asyncio.sleep(SWEEP_S)
