"""Parameters that many routes have."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request

from rosetta.errors import InvalidRequest
from service.queries.names import suggest
from service.queries.pages import LARGEST_LIMIT

Limit = Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="items a page")]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before")]
ModelName = Annotated[str, Path(description="name of a model")]
UnitText = Annotated[str, Path(description="a unit's number, or layer:channel", examples=["214", "main.8:45"])]
ProbeName = Annotated[str, Path(description="name of a probe set")]
JobId = Annotated[int, Path(ge=1, le=2**31 - 1, description="number of a job")]


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuses query parameters that the route does not have: a misspelt filter would filter nothing.

    Raises:
        InvalidRequest: naming the parameter and the nearest one there is.
    """
    if not request.scope["query_string"]:
        return
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            near = suggest(name, sorted(known))
            hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(sorted(known)) or 'none'}"
            raise InvalidRequest(f"'{name}' is not a parameter of this request; {hint}", parameter=name)
