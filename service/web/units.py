"""The page of a unit: what it fires on, beside its best match in every other model on the same images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response

from rosetta.addresses import parse_unit
from rosetta.errors import RosettaError
from rosetta.results import Match, Unit
from service.api.state import state_of
from service.queries import exemplars, labels, matches, memberships, models, units
from service.web import charts, effects, pictures
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_COLUMNS = 8  # images of the grid
_LISTED = 3  # matches of each model in the table, where the reader does not say

Text = Annotated[str, Query()]
Within = Annotated[str, Query(alias="in")]
Top = Annotated[str, Query(pattern=r"^[0-9]{0,5}$")]  # a form sends an empty field


@dataclass(frozen=True)
class Best:
    """A unit's best match in one model, its runners-up, and r by rank as a sparkline."""

    match: Match
    matches: Sequence[Match]
    sparkline: str


# A layer may have slashes in its name, so a unit is the rest of the path, and the longer route comes first.
@router.get("/models/{model}/units/{unit:path}/matches.csv")
def download(
    request: Request,
    model: str,
    unit: str,
    within: Within = "",
    probe: Text = "",
    top: Top = "",
    best_buddies: Annotated[bool, Query()] = False,
) -> Response:
    """The matches as CSV, with the columns of the API."""
    with state_of(request).reading.connect() as conn:
        page = matches.find_matches(
            conn,
            model,
            parse_unit(unit),
            neighbour=within or None,
            probe=probe or None,
            top=int(top) if top else None,
            best_buddies=best_buddies,
        )
    text = io.StringIO()
    writer = csv.writer(text)
    names = [field.name for field in fields(Match)]
    writer.writerow(names)
    writer.writerows([getattr(match, name) for name in names] for match in page.items)
    headers = {"content-disposition": f'attachment; filename="{model}-matches.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/models/{model}/units/{unit:path}")
@router.get("/units/{model}/{unit:path}")
def get_unit(
    request: Request,
    model: str,
    unit: str,
    within: Within = "",
    probe: Text = "",
    top: Top = "",
    by: Annotated[exemplars.Measure, Query()] = "maximum",
    best_buddies: Annotated[bool, Query()] = False,
) -> Response:
    """A unit by its number or by layer:channel."""
    state = state_of(request)
    with state.reading.connect() as conn:
        found = units.get_unit(conn, model, parse_unit(unit))
        problem, rows = None, []
        try:
            rows = _best(conn, found, within, probe, int(top) if top else None, best_buddies)
        except RosettaError as error:
            problem = error
        chosen = probe or (rows[0].match.probe_set if rows else next((s.probe_set for s in found.statistics), ""))
        images = _images(conn, found, chosen, by)
        layers = [(row.match.neighbour_model, row.match.neighbour_layer) for row in rows]
        shown = pictures.prepare(state, conn, chosen, [(found.model, found.layer), *layers], images)
        said = labels.best_labels(conn, unit=f"{model}/{found.number}")
        concepts = memberships.concepts_of(conn, model, found.number)
        others = [row.name for row in models.list_models(conn, limit=1000).items if row.name != model]
        owner = models.get_model(conn, model)
        caused = effects.caused(conn, found, chosen)
    filters = {"in_": within, "probe": probe, "top": top, "best_buddies": best_buddies}
    return render(
        request,
        "unit",
        status=_status(problem, filtered=bool(within or top)),
        unit=found,
        last=owner.units - 1,
        is_generator=owner.is_generator,
        caused=caused,
        telling=effects.TELLING,
        rows=rows,
        problem=problem,
        probe=chosen,
        images=images,
        pictures=shown,
        concepts=concepts,
        labels=said,
        others=others,
        filters=filters,
        by=by,
        listed=int(top) if top else _LISTED,
    )


def _status(problem: RosettaError | None, *, filtered: bool) -> int:
    """That a unit has no matches is no error of the request, a wrong filter is."""
    if problem is None or problem.details.get("reason") == "dead":
        return 200
    return problem.status if filtered or "suggestions" in problem.details else 200


def _images(conn: sa.Connection, unit: Unit, probe: str, by: exemplars.Measure) -> list[int]:
    """The images that the unit fires on most; none where it was not mined, or before exemplars were stored."""
    if all(statistics.probe_set != probe for statistics in unit.statistics):
        return []
    reference = parse_unit(unit.number)
    found = exemplars.list_exemplars(conn, unit.model, reference, probe=probe, by=by)
    return [exemplar.image for exemplar in found[:_COLUMNS]]


def _best(conn: sa.Connection, unit: Unit, within: str, probe: str, top: int | None, best_buddies: bool) -> list[Best]:
    """The best matches by model, the strongest first."""
    page = matches.find_matches(
        conn,
        unit.model,
        parse_unit(unit.number),
        neighbour=within or None,
        probe=probe or None,
        top=top,
        best_buddies=best_buddies,
    )
    found = []
    for _, group in groupby(page.items, key=lambda match: match.neighbour_model):
        some = list(group)
        found.append(Best(some[0], some, charts.sparkline([match.correlation for match in some])))
    return sorted(found, key=lambda best: -best.match.correlation)
