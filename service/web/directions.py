"""The page of a generator's directions: what moves along each, and a slider that walks along one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form, Query, Request, Response
from starlette.responses import RedirectResponse

from rosetta.directions import Direction, DirectionSet, Movement
from rosetta.errors import InvalidRequest, NotFound
from service.api.state import state_of
from service.jobs.presence import workers_at_work
from service.queries import directions, labels, names
from service.submit_directions import SIGMA, STEPS, submit_directions, walk_along
from service.web.formats import with_parameters
from service.web.jobs import refuse_other_sites
from service.web.pages import PageRoute, render

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_SETS = 20  # that are offered
_CONCEPTS, _UNITS = 4, 3  # of an axis that are named
_SURE = 0.05
_SHOWN = 192  # height of an image, pixels

Number = Annotated[str, Query(pattern=r"^[0-9]{0,9}$")]  # a form sends an empty field


@dataclass(frozen=True)
class Axis:
    """A direction, with the concepts and units that move more than along random ones; concepts with what they mean."""

    direction: Direction
    concepts: Sequence[tuple[Movement, str]]
    units: Sequence[Movement]


@router.get("/directions/{generator}")
def show_directions(
    request: Request,
    generator: str,
    number: Annotated[str, Query(alias="id", pattern=r"^[0-9]{0,9}$")] = "",
    axis: Number = "",
    seed: Number = "",
    translation: Number = "",
    position: Number = "",
) -> Response:
    """The newest directions, or those of that number, and a walk along one of them."""
    with state_of(request).reading.connect() as conn:
        row = names.model_row(conn, generator)
        if not row.is_generator:
            raise InvalidRequest(f"{row.name} makes no images: generators have directions", model=row.name)
        known = directions.list_directions(conn, generator=row.name, limit=_SETS).items
        shared: dict[str, Any] = {"generator": row.name, "sets": known, "workers": workers_at_work(conn)}
        if not known:
            return render(request, "directions", about=None, **shared)
        about = directions.get_directions(conn, int(number) if number else known[0].id)
        if about.generator != row.name:
            raise NotFound(f"directions {about.id} are of {about.generator}, not of {row.name}")
        start: dict[str, Any] = {"axis": int(axis or 0), "seed": int(seed or 0)}
        if translation:
            start |= {"translation": int(translation), "position": int(position or 0)}
        walk_along(conn, about.id, **start)  # refuses what there is none of
        axes = _axes(conn, about)
    latents = row.details["latents"]
    chosen = {"id": number, "seed": seed, "translation": translation, "position": position}
    return render(
        request,
        "directions",
        about=about,
        axes=axes,
        axis=axes[start["axis"]],
        seed=start["seed"],
        translation=start.get("translation"),
        chosen=chosen,
        strip=with_parameters(f"/v1/directions/{about.id}/walk", size=_SHOWN, **start),
        frame=(latents["width"], latents["height"]),
        steps=STEPS,
        sigma=SIGMA,
        **shared,
    )


@router.post("/directions", dependencies=[Depends(refuse_other_sites)])
def find_directions(request: Request, generator: Annotated[str, Form()]) -> Response:
    """Has directions found with the usual numbers, and shows the job; the page where they are there."""
    state = state_of(request)
    job = submit_directions(state.engine, state.celery, generator=generator)
    return RedirectResponse(f"/directions/{generator}" if job.already_done else f"/jobs/{job.id}", 303)


def _axes(conn: sa.Connection, about: DirectionSet) -> list[Axis]:
    found = []
    for one in about.items:
        sure = [moved for moved in one.movements if moved.q_value < _SURE]
        concepts: dict[int, Movement] = {}
        for moved in sure:  # the surest first: a concept is told by the model whose units of it move most
            if moved.concept is not None:
                concepts.setdefault(moved.concept, moved)
        units = [moved for moved in sure if moved.unit is not None]
        found.append((one, list(concepts.values())[:_CONCEPTS], units[:_UNITS]))
    wanted = {moved.concept for _, concepts, _ in found for moved in concepts if moved.concept is not None}
    texts = labels.names_of(conn, sorted(wanted)) if wanted else {}

    def called(moved: Movement) -> str:
        return ", ".join(texts.get(moved.concept or 0) or ()) or f"concept {moved.concept}"

    return [Axis(one, [(moved, called(moved)) for moved in concepts], units) for one, concepts, units in found]
