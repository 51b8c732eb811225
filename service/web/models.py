"""The pages of models: the zoo, and one network by depth."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response

from rosetta.results import ProbeSet
from service.api.state import state_of
from service.queries import models, names, probes, sharing, unit_rows
from service.web import charts
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_UNITS = 40  # a page


@router.get("/models")
def list_models(
    request: Request, family: Annotated[str, Query()] = "", cursor: Annotated[str, Query()] = ""
) -> Response:
    """The zoo by name; of one family where it is named."""
    with state_of(request).reading.connect() as conn:
        page = models.list_models(conn, family=family or None, limit=100, cursor=cursor or None)
        families = models.list_families(conn)
        sets = probes.list_probes(conn, limit=100).items
    mined = {model.name: [probe.name for probe in sets if model.name in probe.mined_models] for model in page.items}
    return render(request, "models", page=page, families=families, family=family, mined=mined)


@router.get("/models/{model}")
def get_model(
    request: Request,
    model: str,
    probe: Annotated[str, Query()] = "",
    layer: Annotated[str, Query()] = "",
    cursor: Annotated[str, Query()] = "",
) -> Response:
    """One network: how much each layer shares, its details, its units."""
    with state_of(request).reading.connect() as conn:
        found = models.get_model(conn, model)
        row = names.model_row(conn, model)
        sets = mined_on(conn, model)
        chosen = _chosen(conn, sets, probe)
        pairs = [] if chosen is None else sharing.between_layers(conn, chosen.id, row.id)
        dead = {} if chosen is None else sharing.dead_by_layer(conn, chosen.id, row.id)
        units = unit_rows.list_rows(
            conn,
            model,
            None if chosen is None else chosen.id,
            layer=layer or None,
            limit=_UNITS,
            cursor=cursor or None,
        )
    shared: dict[int, int] = {}
    for pair in pairs:
        shared[pair.position] = shared.get(pair.position, 0) + pair.significant
    return render(
        request,
        "model",
        model=found,
        probes=sets,
        probe=None if chosen is None else chosen.name,
        plot=charts.by_depth(found.layers, dead, pairs) if pairs else None,
        plot_size=(charts.WIDTH, charts.HEIGHT),
        dead=dead,
        shared=shared,
        units=units,
        layer=layer,
        cursor=cursor,
    )


def mined_on(conn: sa.Connection, model: str) -> list[ProbeSet]:
    """The probe sets that a model was mined on, newest first."""
    sets = [probe for probe in probes.list_probes(conn, limit=1000).items if model in probe.mined_models]
    return sorted(sets, key=lambda probe: probe.created_at, reverse=True)


def _chosen(conn: sa.Connection, sets: list[ProbeSet], probe: str) -> Any:
    """The row of the probe set that is shown: the one named, or the newest; None where nothing was mined.

    Raises:
        NotFound: when there is none of that name, with the nearest ones.
    """
    if probe:
        return names.probe_row(conn, probe)
    return names.probe_row(conn, sets[0].name) if sets else None
