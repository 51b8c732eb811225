"""The page of a pair of models: their best buddies, and the matrix of layers against layers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.api.state import state_of
from service.queries import buddies, comparisons, models, names, sharing
from service.queries.matches import with_itself
from service.web import charts
from service.web.models import mined_on
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_BUDDIES = 30  # the strongest; analytics.neuron_pairs has all
_MOST = 1000


@router.get("/pairs/{model}/{neighbour}")
def get_pair(
    request: Request,
    model: str,
    neighbour: str,
    probe: Annotated[str, Query()] = "",
    top: Annotated[int, Query(ge=1, le=_MOST)] = _BUDDIES,
) -> Response:
    """Two networks on one probe set, the newest where none is named."""
    with state_of(request).reading.connect() as conn:
        first, second = models.get_model(conn, model), models.get_model(conn, neighbour)
        if model == neighbour:
            raise with_itself(model)
        ids = [names.model_row(conn, name).id for name in (model, neighbour)]
        probe_set_id = names.probe_row(conn, probe).id if probe else None
        row = comparisons.latest_pair(conn, ids[0], ids[1], probe_set_id)
        if row is None:
            raise comparisons.not_mined(model, neighbour, probe or None)
        probe_set_id = names.probe_row(conn, row.probe_set).id
        found = buddies.strongest(conn, row.id, top=top)
        cells = charts.matrix(sharing.between_layers(conn, probe_set_id, ids[0], ids[1]))
        sets = [one.name for one in mined_on(conn, model) if neighbour in one.mined_models]
    # Layers without any best buddy say nothing and would make the matrix large.
    rows = [layer for layer in first.layers if any(layer.position == place for place, _ in cells)]
    columns = [layer for layer in second.layers if any(layer.position == place for _, place in cells)]
    return render(
        request,
        "pair",
        pair=comparisons.model_pair(row),
        models=(first, second),
        buddies=found,
        cells=cells,
        rows=rows,
        columns=columns,
        probes=sets,
        top=top,
    )
