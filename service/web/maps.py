"""The map page: all units of a probe set in two dimensions, to move in; a picture and a table without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.responses import RedirectResponse

from rosetta.addresses import parse_address
from rosetta.errors import NotFound
from rosetta.maps import MapModel, MapVersion
from rosetta.results import Concept, ProbeSet
from service.api.state import state_of
from service.jobs.presence import workers_at_work
from service.pictures import scatter
from service.queries import concepts, labels, maps, names, probes
from service.submit_map import submit_map
from service.web.formats import with_parameters
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_VERSIONS = 50  # that are offered

Number = Annotated[str, Query(pattern=r"^[0-9]{0,9}$")]  # a form sends an empty field


@dataclass(frozen=True)
class Legend:
    """A concept in the legend: what it is called, and its colour's place in the palette; None: it has none."""

    concept: Concept
    name: str
    place: int | None


@router.get("/map")
def show_map(
    request: Request,
    probe: Annotated[str, Query()] = "",
    version: Number = "",
    colour: Annotated[scatter.Colour, Query()] = "model",
    model: Annotated[list[str] | None, Query()] = None,
    concept: Number = "",
    unit: Annotated[str, Query()] = "",
) -> Response:
    """The newest map of a probe set, or the version named; a concept or a unit stands out where it is named."""
    with state_of(request).reading.connect() as conn:
        raised = concepts.get_concept(conn, int(concept)) if concept else None
        mined = [one for one in probes.list_probes(conn, limit=1000).items if one.mined_models]
        chosen = probe or (raised.probe_set if raised else _probe(conn, mined, unit))
        known = maps.list_maps(conn, probe=chosen, limit=_VERSIONS).items if chosen else ()
        about = maps.get_map(conn, _version(chosen, known, version)) if known else None
        job = maps.latest_job(conn, chosen) if chosen else None
        shown: dict[str, Any] = {
            "map": about,
            "versions": known,
            "job": job,
            "workers": workers_at_work(conn),
            "probe": chosen,
            "probes": [one.name for one in mined],
            "colour": colour,
            "raised": raised,
        }
        if about is None:
            return render(request, "map", status=200 if chosen or not probe else 404, found=None, **shown)
        found = _found(conn, about, unit) if unit else None
        legend = _legend(conn, about, raised)
    wanted = _wanted(about, model or [])
    filters = {"probe": chosen, "version": version, "colour": colour}
    return render(
        request,
        "map",
        found=found,
        unit=unit,
        legend=legend,
        wanted=wanted,
        missing=_missing(mined, about, known),
        picture=_picture(about, colour, wanted, raised),
        data=_data(about, colour, legend, raised, found),
        filters=filters,
        **shown,
    )


@router.post("/map", dependencies=[Depends(refuse_other_sites)])
def make_map(request: Request, probe: Annotated[str, Query()]) -> Response:
    """Has the map made with the usual numbers, and shows the job; the map where it is there."""
    state = state_of(request)
    job = submit_map(state.engine, state.celery, probe=probe)
    return RedirectResponse(with_parameters("/map", probe=probe) if job.already_done else f"/jobs/{job.id}", 303)


def _probe(conn: sa.Connection, mined: Sequence[ProbeSet], unit: str) -> str:
    """The probe set of the newest map of the unit's model, or of the newest map; else any that was mined on."""
    model = unit.partition("/")[0]
    fitting = [one.name for one in mined if not model or model in one.mined_models] or [one.name for one in mined]
    newest = (one.probe_set for one in maps.list_maps(conn, limit=1000).items if one.probe_set in fitting)
    return next(newest, fitting[0] if fitting else "")


def _version(probe: str, known: Sequence[MapVersion], version: str) -> int:
    """The id of that version, or of the newest.

    Raises:
        NotFound: when there is no such version.
    """
    chosen = [one.id for one in known if not version or one.version == int(version)]
    if not chosen:
        raise NotFound(f"the maps of '{probe}' have versions up to {known[0].version}, not {version}", version=version)
    return chosen[0]


def _wanted(about: MapVersion, named: Sequence[str]) -> list[str]:
    """The models that are shown: all, where none is named.

    Raises:
        NotFound: when one is not on the map.
    """
    there = [one.name for one in about.models]
    for name in named:
        if name not in there:
            raise names.not_found("model on this map", name, there, "the map page lists those that are")
    return list(named) or there


def _found(conn: sa.Connection, about: MapVersion, unit: str) -> dict[str, Any]:
    """The unit that stands out: `model` and `number`, and its `place` among the map's models; None: not on it."""
    mention, reference = parse_address(unit)
    row = names.model_row(conn, mention)
    number = names.unit_row(conn, row, reference).number
    place = next((place for place, one in enumerate(about.models) if one.name == row.name), None)
    if place is not None and not maps.has_point(conn, about.id, row.id, number):
        place = None
    return {"model": row.name, "number": number, "place": place}


def _legend(conn: sa.Connection, about: MapVersion, raised: Concept | None) -> list[Legend]:
    """The concepts with a colour of their own, and the one that stands out."""
    largest = maps.largest_concepts(conn, about, len(scatter.PALETTE))
    more = [raised] if raised and raised.id not in {one.id for one in largest} else []
    texts = labels.names_of(conn, [one.id for one in (*largest, *more)])
    return [
        Legend(one, ", ".join(texts[one.id]) or f"Concept {one.id}", place if place < len(largest) else None)
        for place, one in enumerate((*largest, *more))
    ]


def _missing(mined: Sequence[ProbeSet], about: MapVersion, known: Sequence[MapVersion]) -> list[str]:
    """Models that were mined after the newest map was made; of an older map nothing is missed."""
    if about.id != known[0].id:
        return []
    there = {one.name for one in about.models}
    return [name for one in mined if one.name == about.probe_set for name in one.mined_models if name not in there]


def _picture(about: MapVersion, colour: str, wanted: list[str], raised: Concept | None) -> str:
    """The address of the picture that stands in for the canvas."""
    some = wanted if len(wanted) < len(about.models) else []
    path = with_parameters(f"/v1/maps/{about.id}/picture", colour=colour, concept=raised.id if raised else None)
    return path + "".join("&" + with_parameters("", model=name)[1:] for name in some)


def _data(
    about: MapVersion, colour: str, legend: Sequence[Legend], raised: Concept | None, found: dict[str, Any] | None
) -> dict[str, Any]:
    """What the script knows before the points are there."""
    places = {one.name: place for place, one in enumerate(about.models)}
    members = [(places[one.model], one.unit) for one in raised.members if one.model in places] if raised else []
    return {
        "points": with_parameters(f"/v1/maps/{about.id}/points", version=about.points_version),
        "probe": about.probe_set,
        "colour": colour,
        "models": [_model(one) for one in about.models],
        "concepts": [{"id": one.concept.id, "name": one.name, "place": one.place} for one in legend],
        "raised": members,
        "found": [found["place"], found["number"]] if found and found["place"] is not None else None,
    }


def _model(model: MapModel) -> dict[str, Any]:
    return {"name": model.name, "layers": [[layer.name, layer.first_unit] for layer in model.layers]}
