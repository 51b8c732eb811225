"""The web pages: rendered here, linkable, whole without JavaScript as far as they can be."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from rosetta.errors import RosettaError
from service.api import failures
from service.web import (
    assets,
    concepts,
    directions,
    effects,
    home,
    images,
    jobs,
    labels,
    maps,
    models,
    pages,
    pairs,
    search,
    steering,
    translations,
    units,
)

_PAGES = (
    home,
    models,
    units,
    effects,
    directions,
    concepts,
    maps,
    labels,
    pairs,
    search,
    images,
    steering,
    translations,
    jobs,
    assets,
)


def install(app: FastAPI) -> None:
    """Adds the pages, and for people the page of an address that leads nowhere; after the failures of the API."""
    for module in _PAGES:
        app.include_router(module.router)
    app.add_exception_handler(HTTPException, _http_error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if pages.wants_page(request):
        if error.status_code == 404:
            return pages.unknown(request)
        if isinstance(error.__cause__, RosettaError):  # raised while FastAPI read a form
            return pages.problem(request, error.__cause__)
    return await failures.http_error(request, error)
