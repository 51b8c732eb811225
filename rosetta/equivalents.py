"""Translation between models: the units of one told from those of another that match them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from rosetta.effects import Operation, Request
from rosetta.operations import get, list_all
from rosetta.results import Job
from rosetta.rows import Rows
from rosetta.views import Column, moment, number
from rosetta.waiting import wait_for
from rosetta.wire import compute, decode, send

if TYPE_CHECKING:
    from rosetta.progress import Watch
    from rosetta.translating import Translated

Method = Literal["ridge", "best"]


@dataclass(frozen=True)
class Explained:
    """R^2 on held-out images: the share of the variance that is told; below 0: none; null: dead there.

    `ridge`: from all matches of a unit; `best`: from the best one alone; `chance`: from permuted images.
    """

    ridge: float | None
    best: float | None
    chance: float | None


@dataclass(frozen=True)
class UnitEquivalent:
    """How well one unit is told: R^2 of its mean over positions and of its map, and what chance gives."""

    unit: int
    pooled: float | None
    pooled_chance: float | None
    maps: float | None
    maps_chance: float | None


@dataclass(frozen=True)
class Equivalents:
    """A translation from the units of a source model to those of a target. In listings `items` is empty.

    `pooled`, `maps`: how much of all units together is told, of means over positions and of maps. `k`: from how many
    matches a unit is told, at most. `images`: it was fitted on; `held_out`: others it was tested on; `unseen`: whether
    the matches, too, were found without these. `units`: of the target's, how many have a match.
    """

    id: int
    probe_set: str
    source: str
    target: str
    k: int
    images: int
    held_out: int
    unseen: bool
    units: int
    pooled: Explained
    maps: Explained
    created_at: datetime
    job: int | None = None
    items: tuple[UnitEquivalent, ...] = ()


class EquivalentSets(Rows[Equivalents]):
    """Translations between models, newest first."""

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return (
            Column("equivalents", lambda row: number(row.id), right=True),
            Column("from", lambda row: row.source),
            Column("to", lambda row: row.target),
            Column("units", lambda row: number(row.units), right=True),
            Column("told of means", lambda row: number(row.pooled.ridge), right=True),
            Column("of maps", lambda row: number(row.maps.ridge), right=True),
            Column("by chance", lambda row: number(row.maps.chance), right=True, optional=True),
            Column("probe set", lambda row: row.probe_set, optional=True),
            Column("fitted", lambda row: moment(row.created_at), optional=True),
        )


def fit(source: str, target: str, numbers: Mapping[str, Any]) -> Operation[Job]:
    """The job that fits a translation; what is None is the service's choice."""
    body = {"source": source, "target": target}
    body |= {name: value for name, value in numbers.items() if value is not None}
    return decode((yield from send(Request("POST", "/v1/equivalents", body=body))), Job)


def list_equivalents(source: str | None, target: str | None, limit: int | None) -> Operation[EquivalentSets]:
    """Translations that were fitted, newest first."""
    params = {"source": source, "target": target}
    found = yield from list_all("/v1/equivalents", Equivalents, "translations between models", params, limit)
    return EquivalentSets(found, Equivalents, "translations between models")


def translate(
    activations: Any,
    source: str,
    target: str,
    numbers: Mapping[str, Any],
    method: Method,
    watch: Watch | None,
) -> Operation[Translated]:
    """The target's units, told from activations of the source; the coefficients are fitted where they are not yet.

    Raises:
        InvalidRequest: when the activations are not those of the source.
        ImportError: without numpy and safetensors.
    """
    from rosetta.translating import Coefficients, check

    check(activations)  # before anything is fitted
    job = yield from fit(source, target, numbers)
    if job.state != "done":
        job = yield from wait_for(job.id, watch or (lambda _: None), None)
    number_ = (job.result or {})["equivalents"]
    about = yield from get(f"/v1/equivalents/{number_}", Equivalents)
    content = (yield from send(Request("GET", f"/v1/equivalents/{number_}/coefficients"))).content
    return (yield from compute(lambda: Coefficients.read(content).apply(activations, about, method)))
