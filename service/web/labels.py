"""Labels on the pages: forms that give one and remove one, and lead back to what they are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Path, Request, Response
from starlette.responses import RedirectResponse

from rosetta.errors import InvalidRequest
from rosetta.labels import Label
from service.api.state import state_of
from service.queries import labels
from service.web import concepts, units
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[Depends(refuse_other_sites)])


@dataclass(frozen=True)
class Refused:
    """A label that was not taken, and why: the form shows both."""

    message: str
    text: str
    author: str


@router.post("/labels")
def add_label(
    request: Request,
    text: Annotated[str, Form()] = "",
    author: Annotated[str, Form()] = "",
    unit: Annotated[str | None, Form()] = None,
    concept: Annotated[int | None, Form()] = None,
) -> Response:
    """Labels a unit or a concept, and shows it; with what was typed, where that is no label."""
    try:
        with state_of(request).engine.begin() as conn:
            return _show(labels.add_label(conn, text, unit=unit, concept=concept, author=author.strip() or None))
    except InvalidRequest as error:
        request.state.refused = Refused(error.message, text, author)
        if unit is not None and concept is None:
            model, _, number = unit.partition("/")
            page = units.get_unit(request, model, number)
        elif concept is not None and unit is None:
            page = concepts.get_concept(request, concept)
        else:
            raise
        page.status_code = error.status
        return page


@router.post("/labels/{label}/remove")
def remove_label(request: Request, label: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
    """Removes a label, and shows what it was of."""
    with state_of(request).engine.begin() as conn:
        return _show(labels.remove_label(conn, label))


def _show(label: Label) -> Response:
    of = f"concepts/{label.concept}" if label.concept is not None else f"units/{quote(label.model or '')}/{label.unit}"
    return RedirectResponse(f"/{of}#labels", 303)
