"""The page of a search: what a text finds, or what answers to an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from rosetta.errors import RosettaError
from rosetta.labels import TextMatch
from rosetta.results import Job
from service.api.state import State, state_of
from service.jobs.presence import workers_at_work
from service.queries import label_search, text_search
from service.submit_texts import submit_embed_text
from service.web import images
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_TOP, _SEEN = 50, 20

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
    """Units and concepts that words find, in labels and by an image-text model; or units that answer to an image."""
    if image:
        return images.show(request, images.Asked(image, within.strip(), (x, y, w, h), probe.strip()))
    text, problem, found = q.strip(), None, Found()
    if text:
        try:
            found = _find(state_of(request), text)
        except RosettaError as error:
            problem = error
    status = problem.status if problem else 200
    return render(request, "search", status=status, question=text, found=found, problem=problem)


@dataclass(frozen=True)
class Found:
    """What words find: in labels, and by an image-text model, or the job that shows them to it now.

    `by`: the model's name. `workers`: how many are at work.
    """

    labels: Sequence[TextMatch] = ()
    by: str | None = None
    seen: Sequence[TextMatch] = ()
    job: Job | None = None
    workers: int = 0


def _find(state: State, text: str) -> Found:
    with state.reading.connect() as conn:
        labels = label_search.search_labels(conn, text, top=_TOP)
        query = text_search.text_query(conn, text)
        sketch = None if query is None else text_search.stored_sketch(conn, query)
        workers = workers_at_work(conn)
    if query is None:
        return Found(labels, workers=workers)
    if sketch is None:
        job = submit_embed_text(state.engine, state.celery, query) if workers else None
        return Found(labels, query.model.name, job=job, workers=workers)
    with state.engine.begin() as conn:
        seen = text_search.near_text(conn, query, sketch, top=_SEEN)
    return Found(labels, query.model.name, seen, workers=workers)
