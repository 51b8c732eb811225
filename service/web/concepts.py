"""The pages of concepts: the list, and one with its members on the same images."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from service.api.state import state_of
from service.queries import concepts, exemplars, labels, models, probes
from service.queries.grids import strongest
from service.web import pictures
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_COLUMNS = 8  # images of the grid
_MEMBERS_LABELS = 6
_ROWS = 24  # members in the grid; the table has all


@router.get("/concepts")
def list_concepts(
    request: Request,
    probe: Annotated[str, Query()] = "",
    model: Annotated[str, Query()] = "",
    min_models: Annotated[int, Query(ge=1, le=1000)] = 2,
    order: Annotated[concepts.Order, Query()] = "models",
    cursor: Annotated[str, Query()] = "",
) -> Response:
    """Concepts without their members, those of most models first, or as `order` says."""
    with state_of(request).reading.connect() as conn:
        page = concepts.list_concepts(
            conn,
            probe=probe or None,
            model=model or None,
            min_models=min_models,
            order=order,
            cursor=cursor or None,
        )
        texts = labels.names_of(conn, [concept.id for concept in page.items])
        names = [found.name for found in models.list_models(conn, limit=1000).items]
        sets = [found.name for found in probes.list_probes(conn, limit=1000).items]
    filters = {"probe": probe, "model": model, "min_models": min_models, "order": order}
    return render(
        request, "concepts", page=page, texts=texts, models=names, probes=sets, filters=filters, cursor=cursor
    )


@router.get("/concepts/{concept}")
def get_concept(request: Request, concept: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
    """One concept: its numbers, its members, and the grid of members against the images they fire on most."""
    state = state_of(request)
    with state.reading.connect() as conn:
        found = concepts.get_concept(conn, concept)
        images = exemplars.exemplars_of_concept(conn, concept, top=_COLUMNS)
        said = labels.best_labels(conn, concept=concept)
        own = {label.text for label in said}
        texts = labels.names_of(conn, [concept], most=len(own) + _MEMBERS_LABELS)[concept]
        shown = strongest(found.members, most=_ROWS)
        seen = pictures.prepare(state, conn, found.probe_set, [(one.model, one.layer) for one in shown], images)
    of_members = [text for text in texts if text not in own]
    values: dict[str, Any] = {"name": texts[0] if said else "", "labels": said, "of_members": of_members}
    return render(request, "concept", concept=found, images=images, pictures=seen, shown=shown, **values)
