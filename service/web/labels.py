"""Labels on the pages: forms that give one and remove one, and lead back to what they are of."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Path, Request, Response
from starlette.responses import RedirectResponse

from rosetta.labels import Label
from service.api.state import state_of
from service.queries import labels
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[Depends(refuse_other_sites)])


@router.post("/labels")
def add_label(
    request: Request,
    text: Annotated[str, Form()] = "",
    author: Annotated[str, Form()] = "",
    unit: Annotated[str | None, Form()] = None,
    concept: Annotated[int | None, Form()] = None,
) -> Response:
    """Labels a unit or a concept, and shows it."""
    with state_of(request).engine.begin() as conn:
        return _show(labels.add_label(conn, text, unit=unit, concept=concept, author=author.strip() or None))


@router.post("/labels/{label}/remove")
def remove_label(request: Request, label: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
    """Removes a label, and shows what it was of."""
    with state_of(request).engine.begin() as conn:
        return _show(labels.remove_label(conn, label))


def _show(label: Label) -> Response:
    of = f"concepts/{label.concept}" if label.concept is not None else f"units/{quote(label.model or '')}/{label.unit}"
    return RedirectResponse(f"/{of}#labels", 303)
