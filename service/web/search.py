"""The page of a search: what a text finds, or what answers to an image."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rosetta.errors import RosettaError
from service.api.state import state_of
from service.queries import label_search
from service.web import images
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_TOP = 50

Text = Annotated[str, Query()]


@router.get("/search")
def search(
    request: Request,
    q: Text = "",
    image: Text = "",
    x: Text = "",
    y: Text = "",
    w: Text = "",
    h: Text = "",
    within: Annotated[str, Query(alias="in")] = "",
    probe: Text = "",
) -> Response:
    """Units and concepts whose labels have these words; or units that answer to an image, or to a box in it."""
    if image:
        return images.show(request, images.Asked(image, within.strip(), (x, y, w, h), probe.strip()))
    text, problem, found = q.strip(), None, []
    if text:
        try:
            with state_of(request).reading.connect() as conn:
                found = label_search.search_labels(conn, text, top=_TOP)
        except RosettaError as error:
            problem = error
    status = problem.status if problem else 200
    return render(request, "search", status=status, question=text, found=found, problem=problem)
