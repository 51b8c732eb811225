"""Pages: templates to responses, and every failure of a page as a page."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from rosetta.errors import NotFound, RosettaError
from service.api import failures
from service.web import assets, formats

_HEADERS = {
    # A page loads what is ours and nothing else; without inline style or script, injected text cannot be either.
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # Not no-referrer: then a form's Origin would be null, and no change could be told from another site's.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_environment = Environment(
    loader=PackageLoader("service.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(version=version("rosetta-neurons"), asset=assets.url)
_environment.filters.update(formats.FILTERS)


def compile_templates() -> None:
    """Returns when every template is compiled, as the first page of each would do."""
    for name in _environment.list_templates(extensions=["html"]):
        _environment.get_template(name)


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """The page of a template.

    Args:
        request: what is answered; its path marks the place in the navigation.
        template: name of the template, without `.html`.
        status: HTTP status.
        values: what the template shows.
    """
    shared = {
        "path": request.url.path,
        "question": "",
        "request_id": failures.request_id(request),
        "refused": getattr(request.state, "refused", None),  # what a form sent, where that did not do
    }
    text = _environment.get_template(f"{template}.html").render(shared | values)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def problem(request: Request, error: RosettaError) -> Response:
    """The page that says what went wrong, with the nearest names where there are some."""
    return render(request, "problem", status=error.status, error=error, nearest=_nearest(request, error))


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks, and not for something of the API."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(("/v1/", "/static/"))


def unknown(request: Request) -> Response:
    """The page of an address that leads nowhere."""
    return problem(request, NotFound(f"there is no page {request.url.path}"))


def _nearest(request: Request, error: RosettaError) -> list[tuple[str, str]]:
    """Nearest names, with the address of the page that the reader may have meant."""
    wrong = error.details.get("name")
    suggestions = [str(name) for name in error.details.get("suggestions", ())]
    parts = request.url.path.split("/")
    if wrong not in parts:
        return [(name, "") for name in suggestions]
    return [(name, "/".join(name if part == wrong else part for part in parts)) for name in suggestions]


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose failures are pages."""

    def get_route_handler(self) -> Handler:
        """The handler around FastAPI's own."""
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                return await handle(request)
            except RosettaError as error:
                return problem(request, error)
            except RequestValidationError as error:
                return problem(request, failures.of_validation(error))
            except sa.exc.SQLAlchemyError as error:
                return problem(request, failures.of_database(error))

        return handle_for_people
