"""Interventions: what a generator's units cause, as results and as the client asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rosetta.addresses import parse_address
from rosetta.effects import Operation, Request
from rosetta.operations import list_all
from rosetta.results import Job
from rosetta.rows import Rows
from rosetta.views import Column, number, probability, unit_cell
from rosetta.wire import decode, send

Action = Literal["zero", "set", "boost"]


@dataclass(frozen=True)
class Effect:
    """What a change of a generator's unit causes in a unit of another model that it matches.

    `correlation`: r of the match. `effect`: r of what changed in the one and in the other; null: nothing changed.
    `response`: deviations that the matched unit moves along with one deviation of the change; `z` and `q_value` hold
    it against random other units of the same layer, the `controls`. `mean_change`, `size`: mean and root mean square
    of the matched unit's change, in its deviations. `inside`, `outside`: mean absolute change of the pixels, of 1,
    where the unit fired and elsewhere. `control_*`: the same of the controls, on average.
    """

    probe_set: str
    generator: str
    layer: str
    unit: int
    channel: int
    neighbour_model: str
    neighbour_layer: str
    neighbour_unit: int
    neighbour_channel: int
    action: Action
    amount: float | None
    box: tuple[float, float, float, float] | None
    correlation: float
    effect: float | None
    control_effect: float | None
    response: float | None
    z: float | None
    q_value: float | None
    mean_change: float | None
    size: float | None
    control_size: float | None
    inside: float | None
    outside: float | None
    control_inside: float | None
    control_outside: float | None
    controls: int
    latents: int
    created_at: datetime
    job: int | None = None


class Effects(Rows[Effect]):
    """What units cause, the strongest responses first."""

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return (
            Column("unit", lambda row: f"{row.generator} {unit_cell(row.unit, row.layer, row.channel)}"),
            Column("model", lambda row: row.neighbour_model),
            Column("match", lambda row: unit_cell(row.neighbour_unit, row.neighbour_layer, row.neighbour_channel)),
            Column("action", lambda row: row.action, optional=True),
            Column("r", lambda row: number(row.correlation), right=True),
            Column("effect", lambda row: number(row.effect), right=True),
            Column("response", lambda row: number(row.response), right=True),
            Column("z", lambda row: number(row.z, 1), right=True),
            Column("q", lambda row: probability(row.q_value), right=True),
            Column("inside / outside", ratio, right=True, optional=True),
        )


def ratio(effect: Effect) -> str:
    """How many times as much pixels change where the unit fired as elsewhere."""
    return number(effect.inside / effect.outside, 1) if effect.inside is not None and effect.outside else "-"


def intervene(
    generator: str, models: Sequence[str] | str | None, box: Sequence[float] | None, numbers: Mapping[str, Any]
) -> Operation[Job]:
    """The job that measures what units cause; what is None is the service's choice."""
    body: dict[str, Any] = {"generator": generator}
    if models is not None:
        body["models"] = [models] if isinstance(models, str) else list(models)
    if box is not None:
        body["box"] = list(box)
    body |= {name: value for name, value in numbers.items() if value is not None}
    return decode((yield from send(Request("POST", "/v1/interventions", body=body))), Job)


def list_effects(unit: str | None, params: Mapping[str, Any], limit: int | None) -> Operation[Effects]:
    """Effects of a unit or on it, or of everything."""
    if unit is not None:
        parse_address(unit)
    wanted = {name: value for name, value in {"unit": unit, **params}.items() if value is not None}
    return Effects((yield from list_all("/v1/effects", Effect, "effects", wanted, limit)), Effect, "effects")
