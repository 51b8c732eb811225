"""Whole tables of the schema `analytics`, of any length."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from service.api.state import state_of
from service.queries import tables

router = APIRouter(prefix="/v1", tags=["questions"])

_MEDIA = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
_CONTENT = {200: {"description": "All rows", "content": {kind: {} for kind in _MEDIA.values()}}}


@router.get("/tables/{table}", summary="A whole table, as a stream", responses=_CONTENT, response_class=Response)  # type: ignore[arg-type]
def get_table(
    request: Request,
    table: Annotated[str, Path(description="a view of the schema analytics", examples=["matches"])],
    form: Annotated[tables.Format, Query(alias="format", description="one of csv, jsonl")] = "csv",
) -> Response:
    """One snapshot of all rows, however many; `sql` is for questions."""
    pieces = tables.stream(state_of(request).database_url, table, form)
    return StreamingResponse(pieces, media_type=_MEDIA[form])
