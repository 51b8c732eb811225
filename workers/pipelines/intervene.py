"""The job `intervene`: a generator's matched units are changed, and what comes of it is measured and stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
import torch
from torch import Tensor

from rosetta.errors import NotFound
from service.database import schema
from service.engine_version import ENGINE_VERSION
from service.queries.matched_pairs import MatchedPair, matched_pairs
from workers.mining.layout import ModelLayout
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.passes import device_of
from workers.probes import GeneratorProbes
from workers.translation.effects import EffectScore, EffectSums, Watched, scores, thresholds
from workers.translation.interventions import Box, Intervention, controls
from workers.translation.responses import unit_slices
from workers.zoo.base import Latents, Network

_PIXELS = 4 * 64 * 64  # of images that are changed at once, in all ways
_ROWS = 32
_POSITIONS = 2**20  # of a unit's maps, whose quantile says where it fires


def run(context: Context) -> None:
    """Measures the effects on the model of the part's payload; they take the place of those of the same action.

    Raises:
        InvalidRequest: when a model cannot be loaded as it was registered, or no pair of units is left.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    wanted = context.parameters
    context.report(0, wanted["latents"], "loading the models")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, wanted["probe"])
        generator, model = (_row(connection, context.payload[side]) for side in ("generator", "model"))
        choice = {name: wanted[name] for name in ("k", "q_value", "limit")}
        pairs = matched_pairs(connection, generator, model, probe_set, **choice)
        loaded = {one.id: one for one in inputs.load_models(context, connection, sorted((generator.id, model.id)))}
        std = _deviations(connection, probe_set.id, generator.id, loaded[generator.id].layout)
    device = device_of(context.settings.device)
    networks = [loaded[row.id].network for row in (generator, model)]
    for network in networks:
        network.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    seed, count = wanted["seed"], wanted["latents"]
    probes = GeneratorProbes(networks[0], seed, count, probe_set.truncation, probe_set.class_index)
    asked = _ask(networks[1], pairs, wanted)
    others, places = controls(asked.interventions, std, wanted["controls"], seed)
    grids = {layer.name: layer.height * layer.width for layer in loaded[generator.id].layout.layers}
    enough = max(1, _POSITIONS // max(grids[one.layer] for one in asked.interventions))
    fires = thresholds(networks[0], _batches(probes, min(count, enough), device), asked.interventions)
    sums = EffectSums(networks[0], [*asked.interventions, *others], fires, asked.watched, _ROWS)
    done = 0
    for batch in _batches(probes, count, device):
        note = f"changing {len(asked.interventions)} units and {len(others)} controls before {model.name}"
        context.report(done, count, note)
        sums.update(batch)
        done += len(batch.values)
    first = len(asked.interventions)
    found = scores(sums.result(), asked.places, {k: [first + one for one in own] for k, own in enumerate(places)})
    with context.publish({model.name: len(pairs)}) as connection:
        _store(connection, context, (probe_set.id, generator.id, model.id), pairs, found)


@dataclass(frozen=True)
class _Asked:
    """One intervention in each unit of some pairs, the units that are watched, and of each pair which is whose."""

    interventions: list[Intervention]
    watched: Watched
    places: list[tuple[int, int]]


def _ask(network: Network, pairs: Sequence[MatchedPair], wanted: Mapping[str, Any]) -> _Asked:
    units = {pair.unit: pair for pair in pairs}
    seers = {pair.neighbour: pair for pair in pairs}
    box: Box | None = tuple(wanted["box"]) if wanted["box"] else None
    watched = Watched(
        network,
        tuple((pair.neighbour_layer, pair.neighbour_channel) for pair in seers.values()),
        torch.tensor([pair.neighbour_std for pair in seers.values()], dtype=torch.float64),
    )
    interventions = [_intervention(pair, wanted["action"], wanted["amount"], box) for pair in units.values()]
    rows, columns = list(units), list(seers)
    return _Asked(interventions, watched, [(rows.index(pair.unit), columns.index(pair.neighbour)) for pair in pairs])


def _intervention(pair: MatchedPair, action: str, amount: float | None, box: Box | None) -> Intervention:
    match action:
        case "set":
            assert amount is not None  # `submit_effects` gave one
            return Intervention.set(pair.layer, pair.channel, amount * pair.std, box)
        case "boost":
            assert amount is not None
            return Intervention.boost(pair.layer, pair.channel, amount, box)
    return Intervention.zero(pair.layer, pair.channel, box)


def _batches(probes: GeneratorProbes, count: int, device: torch.device) -> Iterator[Latents]:
    """The first so many latents."""
    assert probes.network.latents is not None  # `GeneratorProbes` looked
    space = probes.network.latents
    size = max(1, _PIXELS // (space.height * space.width))
    for start in range(0, count, size):
        yield probes.latents(range(start, min(start + size, count))).to(device)


def _row(connection: sa.Connection, model: int) -> sa.Row[Any]:
    row = connection.execute(sa.select(schema.models).where(schema.models.c.id == model)).one_or_none()
    if row is None:
        raise NotFound("a model of this job was removed meanwhile")
    return row


def _deviations(connection: sa.Connection, probe_set: int, model: int, layout: ModelLayout) -> dict[str, Tensor]:
    """Each unit's deviation over the probe set, float64 [C] by layer; 0 of a dead one."""
    columns = schema.unit_statistics.c
    found = connection.scalars(
        sa.select(sa.case((columns.dead, 0.0), else_=columns.std))
        .where(columns.probe_set_id == probe_set, columns.model_id == model)
        .order_by(columns.unit)
    )
    std = torch.tensor(list(found), dtype=torch.float64)
    return {layer: std[at] for layer, at in unit_slices(layout).items()}


def _store(
    connection: sa.Connection,
    context: Context,
    of: tuple[int, int, int],
    pairs: Sequence[MatchedPair],
    found: Sequence[EffectScore],
) -> None:
    """Writes the effects in the place of those that a job measured before."""
    wanted, table = context.parameters, schema.interventions
    kind = dict(zip(("probe_set_id", "generator_id", "neighbour_model_id"), of, strict=True))
    kind["action"] = wanted["action"]
    connection.execute(sa.delete(table).where(*(table.c[name] == value for name, value in kind.items())))
    numbers = {name: wanted[name] for name in ("amount", "box", "latents", "seed")}
    new = sa.insert(table).values(**kind, **numbers, code_version=ENGINE_VERSION, job_id=context.claim.job_id)
    intervention: int = connection.execute(new.returning(table.c.id)).scalar_one()
    rows = [{name: _number(value) for name, value in asdict(score).items()} for score in found]
    units = {
        pair.unit: {"intervention_id": intervention, "unit": pair.unit}
        | {name: row[name] for name in ("inside", "outside", "control_inside", "control_outside", "controls")}
        for pair, row in zip(pairs, rows, strict=True)
    }
    connection.execute(sa.insert(schema.unit_effects), list(units.values()))
    names = {"effect": "correlation", "control_effect": "control_correlation"}
    names |= {name: name for name in ("response", "z", "q_value", "mean_change", "size", "control_size")}
    connection.execute(
        sa.insert(schema.effects),
        [
            {"intervention_id": intervention, "unit": pair.unit, "neighbour": pair.neighbour}
            | {"correlation": pair.correlation}
            | {column: row[name] for column, name in names.items()}
            for pair, row in zip(pairs, rows, strict=True)
        ],
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
