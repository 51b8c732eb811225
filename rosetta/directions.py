"""Directions of a generator's latents, as results and as the client asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rosetta import pictures
from rosetta.effects import Operation, Request
from rosetta.errors import NotFound
from rosetta.operations import get, list_all
from rosetta.pictures import Picture
from rosetta.results import Job
from rosetta.rows import Rows
from rosetta.views import Column, moment, number
from rosetta.wire import decode, send


@dataclass(frozen=True)
class Movement:
    """A unit that moves along a direction, or the units that a concept has of a model, which move together.

    `change`: in deviations of the unit, along one deviation of the direction. `z`, `q_value`: beside random directions.
    """

    model: str
    layer: str | None
    unit: int | None
    channel: int | None
    concept: int | None
    change: float
    z: float
    q_value: float


@dataclass(frozen=True)
class Direction:
    """One axis of some directions.

    `share`: of the variance that it explains. `deviation`: of the latents along it. `movements`: those that move most.
    """

    axis: int
    share: float
    deviation: float
    movements: tuple[Movement, ...] = ()


@dataclass(frozen=True)
class DirectionSet:
    """Directions that were found together, the one that changes most first. In listings `items` is empty.

    `layer`: whose activations they change most; null: they are the principal axes of the latents themselves.
    `probe_set`: whose statistics and concepts tell what moves; null: nothing was measured. `latents`, `controls`: from
    how many places, and beside how many random directions, that was measured.
    """

    id: int
    generator: str
    probe_set: str | None
    space: Literal["z", "w"]
    layer: str | None
    class_index: int | None
    samples: int
    seed: int
    axes: int
    latents: int
    controls: int
    created_at: datetime
    job: int | None = None
    items: tuple[Direction, ...] = ()


class DirectionSets(Rows[DirectionSet]):
    """Directions that were found, newest first."""

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return (
            Column("directions", lambda row: number(row.id), right=True),
            Column("generator", lambda row: row.generator),
            Column("of", lambda row: row.layer or row.space),
            Column("axes", lambda row: number(row.axes), right=True),
            Column("samples", lambda row: number(row.samples), right=True, optional=True),
            Column("probe set", lambda row: row.probe_set or "-", optional=True),
            Column("found", lambda row: moment(row.created_at)),
        )


class Directions(Rows[Direction]):
    """The axes of a generator, the one that changes most first.

    Attributes:
        about: whose they are, and how they were found.
    """

    about: DirectionSet

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return (
            Column("axis", lambda row: str(row.axis), right=True),
            Column("share", lambda row: f"{100 * row.share:.1f}%", right=True),
            Column("deviation", lambda row: number(row.deviation, 2), right=True, optional=True),
            Column("what moves", _moving, wraps=True),
        )


def _moving(row: Direction) -> str:
    concepts = dict.fromkeys(f"concept {one.concept}" for one in row.movements if one.concept is not None)
    units = [f"{one.model}/{one.unit}" for one in row.movements if one.unit is not None]
    return ", ".join([*concepts, *units][:4]) or "-"


def find_directions(generator: str, models: Sequence[str] | str | None, numbers: Mapping[str, Any]) -> Operation[Job]:
    """The job that finds directions; what is None is the service's choice."""
    body: dict[str, Any] = {"generator": generator}
    if models is not None:
        body["models"] = [models] if isinstance(models, str) else list(models)
    body |= {name: value for name, value in numbers.items() if value is not None}
    return decode((yield from send(Request("POST", "/v1/directions", body=body))), Job)


def list_directions(generator: str | None, limit: int | None) -> Operation[DirectionSets]:
    """Directions that were found, newest first."""
    params = {"generator": generator}
    found = yield from list_all("/v1/directions", DirectionSet, "sets of directions", params, limit)
    return DirectionSets(found, DirectionSet, "sets of directions")


def get_directions(generator: str | int) -> Operation[Directions]:
    """The newest directions of a generator, or those of that number, with what moves along them."""
    if isinstance(generator, str):
        known = yield from list_directions(generator, 1)
        if not known:
            raise NotFound(
                f"no directions of {generator} yet: `rosetta directions find {generator}` finds them", model=generator
            )
        generator = known[0].id
    about = yield from get(f"/v1/directions/{generator}", DirectionSet)
    found = Directions(about.items, Direction, "directions")
    found.about = about
    return found


def walk(directions: int, params: Mapping[str, Any]) -> Operation[Picture]:
    """Images along an axis, side by side; what is None is the service's choice."""
    return (yield from pictures.picture(f"/v1/directions/{directions}/walk", params))
