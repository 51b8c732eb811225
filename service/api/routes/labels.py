"""Labels: given by people, found by jobs, listed, removed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from rosetta.labels import Label, LabelKind
from rosetta.results import Job, Page
from service.api.bodies import AddLabel, FindLabels
from service.api.encoding import respond
from service.api.routes.common import Cursor, Limit, ModelName, UnitText
from service.api.state import state_of
from service.queries import labels, pages
from service.submit_labels import submit_mask_labels, submit_text_labels

router = APIRouter(prefix="/v1", tags=["labels"])

_Of = Annotated[labels.Of, Query(description="of a concept: its own, or those of its members")]
_Kind = Annotated[LabelKind | None, Query(description="person, text or mask; else all")]


@router.get("/labels", response_model=Page[Label], summary="Labels, newest first")
def list_labels(
    request: Request,
    unit: Annotated[str | None, Query(description="of the unit at this address")] = None,
    concept: Annotated[int | None, Query(description="of the concept of this number")] = None,
    of: _Of = "own",
    kind: _Kind = None,
    text: Annotated[str | None, Query(description="that have these words, as a search finds them")] = None,
    model: Annotated[str | None, Query(description="of units of this model, family or nickname")] = None,
    probe: Annotated[str | None, Query(description="measured on this probe set")] = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Of units and concepts."""
    with state_of(request).reading.connect() as conn:
        return respond(
            labels.list_labels(
                conn,
                unit=unit,
                concept=concept,
                of=of,
                kind=kind,
                text=text,
                model=model,
                probe=probe,
                limit=limit,
                cursor=cursor,
            )
        )


@router.post("/labels", response_model=Label, status_code=201, summary="Label a unit or a concept")
def add_label(request: Request, body: AddLabel) -> Response:
    """A person's label; the same of the same author again is the one there is."""
    with state_of(request).engine.begin() as conn:
        return respond(labels.add_label(conn, body.text, unit=body.unit, concept=body.concept, author=body.author), 201)


@router.post("/labels/find", response_model=Job, status_code=202, summary="Have units and concepts labelled")
def find_labels(request: Request, body: FindLabels) -> Response:
    """A job; its labels take the place of those that one of its kind gave the same units before."""
    state = state_of(request)
    submit = submit_text_labels if body.by == "text" else submit_mask_labels
    given = body.model_dump(exclude={"by"}, exclude_none=True)
    return respond(submit(state.engine, state.celery, **given), 202)


@router.delete("/labels/{label}", response_model=Label, summary="Remove a label")
def remove_label(
    request: Request, label: Annotated[int, Path(ge=1, le=2**31 - 1, description="number of a label")]
) -> Response:
    """The label as it was."""
    with state_of(request).engine.begin() as conn:
        return respond(labels.remove_label(conn, label))


@router.get(
    "/models/{model}/units/{unit:path}/labels", response_model=Page[Label], summary="What a unit answers to, in words"
)
def list_labels_of_unit(
    request: Request,
    model: ModelName,
    unit: UnitText,
    kind: _Kind = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Newest first."""
    with state_of(request).reading.connect() as conn:
        return respond(labels.list_labels(conn, unit=f"{model}/{unit}", kind=kind, limit=limit, cursor=cursor))


@router.get("/concepts/{concept}/labels", response_model=Page[Label], summary="What a concept answers to, in words")
def list_labels_of_concept(
    request: Request,
    concept: Annotated[int, Path(description="number of a concept")],
    of: _Of = "own",
    kind: _Kind = None,
    limit: Limit = pages.DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Newest first."""
    with state_of(request).reading.connect() as conn:
        return respond(labels.list_labels(conn, concept=concept, of=of, kind=kind, limit=limit, cursor=cursor))
