"""The pages of translations: those there are with a form for another, and one with its editor and its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import RedirectResponse

from rosetta.errors import NotFound, RosettaError
from rosetta.translations import Translation
from service.api.state import State, state_of
from service.database.schema import comparisons, models, probe_sets
from service.jobs.presence import workers_at_work
from service.queries import labels, names, probes, steering_units, translation_family, translations
from service.web import charts, pictures
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_LISTED = 24
_UNITS = 36  # that are offered with a picture
_CONCEPTS = 30

TranslationId = Annotated[int, Path(ge=1, le=2**31 - 1)]
Number = Annotated[str, Query(pattern=r"^[0-9]{0,9}$")]  # a form sends an empty field


@router.get("/translations")
def list_translations(
    request: Request,
    generator: Annotated[str, Query()] = "",
    cursor: Annotated[str, Query()] = "",
    probe: Annotated[str, Query()] = "",
    number: Number = "",
) -> Response:
    """Translations, newest first, and the form that inverts; `probe` and `number` fill an image in."""
    return show_list(request, {"generator": generator, "probe": probe, "numbers": number}, cursor=cursor)


def show_list(
    request: Request, fields: Mapping[str, Any], *, problem: RosettaError | None = None, cursor: str = ""
) -> Response:
    """The list and the form as it was filled, with what was wrong with it."""
    with state_of(request).reading.connect() as conn:
        page = translations.list_translations(conn, limit=_LISTED, cursor=cursor or None)
        makers = _generators(conn)
        chosen = next((row for row in makers if row.name == fields.get("generator")), makers[0] if makers else None)
        return render(
            request,
            "translations",
            status=problem.status if problem else 200,
            page=page,
            cursor=cursor,
            overviews=translation_family.overviews(conn, [one.id for one in page.items]),
            generators=[row.name for row in makers],
            chosen=chosen,
            dictionaries=_dictionaries(conn, chosen) if chosen else {},
            probes=probes.list_probes(conn, limit=1000).items,
            fields=fields,
            problem=problem,
            workers=workers_at_work(conn),
        )


def _generators(conn: sa.Connection) -> list[sa.Row[Any]]:
    """The rows of all generators, those that were compared with anything first."""
    compared = sa.exists().where(comparisons.c.model_id == models.c.id)
    return list(conn.execute(sa.select(models).where(models.c.is_generator).order_by(sa.not_(compared), models.c.name)))


def _dictionaries(conn: sa.Connection, generator: sa.Row[Any]) -> dict[str, list[str]]:
    """By probe set, the newest first: the models that look at images and were compared with the generator on it."""
    statement = (
        sa.select(probe_sets.c.name.label("probe"), models.c.name)
        .select_from(comparisons)
        .join(probe_sets, probe_sets.c.id == comparisons.c.probe_set_id)
        .join(models, models.c.id == comparisons.c.neighbour_model_id)
        .where(comparisons.c.model_id == generator.id, ~models.c.is_generator, models.c.recorded_on.is_(None))
        .order_by(comparisons.c.created_at.desc(), comparisons.c.id.desc())
    )
    found: dict[str, list[str]] = {}
    for row in conn.execute(statement):
        found.setdefault(row.probe, []).append(row.name)
    return {probe: sorted(some) for probe, some in found.items()}


@router.get("/translations/{translation}")
def get_translation(request: Request, translation: TranslationId, image: Number = "") -> Response:
    """A translation: one of its images large, to compare and to edit, then all of them, and what came of it."""
    return show_translation(request, translation, int(image or 0), {})


def show_translation(
    request: Request,
    translation: int,
    position: int,
    fields: Mapping[str, str],
    *,
    problem: RosettaError | None = None,
) -> Response:
    """The page; with the fields of its editor as they were filled, and what was wrong with them."""
    state = state_of(request)
    with state.reading.connect() as conn:
        found = translations.get_translation(conn, translation)
        if not position < found.images:
            raise NotFound(f"translation {translation} has images 0 to {found.images - 1}, not {position}")
        family = translation_family.family_of(conn, translation)
        latents = names.model_row(conn, found.generator).details.get("latents") or {}
        units = steering_units.steering_units(conn, found.recipe)
        shown = units[:_UNITS]
        concepts = steering_units.steering_concepts(conn, found.recipe, [unit.number for unit in units])[:_CONCEPTS]
        values: dict[str, Any] = {
            "own": next(one for one in family if one.id == translation),
            "family": family,
            "units": shown,
            "more_units": len(units) - len(shown),
            "concepts": concepts,
            "texts": labels.names_of(conn, [one.concept for one in concepts], most=2),
            "pictures": _pictures(state, conn, found, shown),
            "workers": workers_at_work(conn),
        }
    item = found.items[position]
    return render(
        request,
        "translation",
        status=problem.status if problem else 200,
        translation=found,
        image=item,
        frame=(latents.get("width", 64), latents.get("height", 64)),
        reference=asdict(item.reference),
        curve=charts.loss_curve(item.losses),
        fields=fields,
        problem=problem,
        **values,
    )


def _pictures(
    state: State, conn: sa.Connection, found: Translation, units: list[steering_units.SteeringUnit]
) -> pictures.Pictures:
    """The heat maps of the units on what they fire on most."""
    images = sorted({unit.image for unit in units if unit.image is not None})
    return pictures.prepare(state, conn, found.probe_set, [(found.generator, unit.layer) for unit in units], images)


@router.post("/translations/{translation}/remove", dependencies=[Depends(refuse_other_sites)])
def remove_translation(request: Request, translation: TranslationId) -> Response:
    """Removes a translation, and shows what it was an edit of, else the list."""
    with state_of(request).engine.begin() as conn:
        parent = translations.get_translation(conn, translation).parent
        translations.remove_translation(conn, translation)
    return RedirectResponse(f"/translations/{parent}" if parent else "/translations", 303)
