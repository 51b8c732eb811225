"""The job `directions`: axes of a generator's latents along which most changes, and what moves along them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch

from service.database import schema
from service.engine_version import ENGINE_VERSION
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import device_of
from workers.pipelines.subjects import load_subjects
from workers.probes import GeneratorProbes
from workers.translation.directions import Directions, gather, to_w
from workers.translation.movements import Movement, MovementSums
from workers.translation.responses import Subject
from workers.zoo.base import Latents, Network

_BATCH, _ROWS = 64, 32
_PIXELS = 4 * 64 * 64  # of images whose latents are moved at once
_UNITS = 20  # of each model and axis, those that move most, are stored


def run(context: Context) -> None:
    """Finds the directions that the job's parameters ask for, and stores them.

    Raises:
        InvalidRequest: when a layer is too large, there are too few samples, or a model cannot be loaded as it was.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    wanted, device = context.parameters, device_of(context.settings.device)
    drawn, total = wanted["samples"] + wanted["latents"], context.payload["images"]
    context.report(0, total, "loading the models")
    ids = [context.payload["generator"], *context.payload["models"]]
    with context.engine.connect() as connection:
        named = wanted["probe"]
        probe_set = inputs.probe_row(connection, named) if named is not None else None
        loaded = {one.id: one for one in inputs.load_models(context, connection, sorted(set(ids)))}
        chosen = [loaded[number] for number in ids]
        subjects = load_subjects(connection, probe_set.id, chosen, device) if probe_set is not None else []
        concepts = _concepts(connection, probe_set.id, chosen) if probe_set is not None else {}
    generator = chosen[0].network
    generator.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    truncation = probe_set.truncation if probe_set is not None else None
    probes = GeneratorProbes(generator, wanted["seed"], drawn, truncation, wanted["class_index"])

    def samples() -> Iterator[Latents]:
        for start in range(0, wanted["samples"], _BATCH):
            context.report(start, total, "sampling the generator")
            yield probes.latents(range(start, min(start + _BATCH, wanted["samples"]))).to(device)

    moments = gather(generator, samples(), wanted["layer"])
    found = moments.principal(wanted["axes"])
    sums = MovementSums(
        generator, found.steps, moments.random(wanted["controls"], wanted["seed"]), subjects, 1.0, _ROWS
    )
    done, passes = wanted["samples"], 2 * (wanted["axes"] + wanted["controls"])
    for batch in _batches(probes, wanted["samples"], drawn) if subjects else ():
        context.report(done, total, f"moving along {len(found.steps)} directions")
        sums.update(_in_space(generator, batch.to(device), found))
        done += passes * len(batch.values)
    outcome: dict[str, Any] = {"axes": len(found.steps)}
    with context.publish(outcome) as connection:
        number = _store(connection, context, probe_set.id if probe_set is not None else None, found)
        outcome["directions"] = number
        rows = _moved(sums, chosen, subjects, concepts)
        if rows:
            connection.execute(
                sa.insert(schema.direction_movements), [{"directions_id": number, **row} for row in rows]
            )


def _batches(probes: GeneratorProbes, first: int, last: int) -> Iterator[Latents]:
    """Latents that no direction was found from."""
    assert probes.network.latents is not None  # `GeneratorProbes` looked
    space = probes.network.latents
    size = max(1, _PIXELS // (space.height * space.width))
    for start in range(first, last, size):
        yield probes.latents(range(start, min(start + size, last)))


def _in_space(generator: Network, latents: Latents, found: Directions) -> Latents:
    return to_w(generator, latents) if found.space == "w" else latents


def _concepts(
    connection: sa.Connection, probe_set: int, chosen: Sequence[MinedModel]
) -> dict[int, dict[int, list[int]]]:
    """By model: the units that each of the probe set's newest concepts has of it."""
    versions, members = schema.concept_versions.c, schema.concept_members.c
    newest = sa.select(sa.func.max(versions.id)).where(versions.probe_set_id == probe_set).scalar_subquery()
    rows = connection.execute(
        sa.select(members.model_id, members.concept_id, members.unit)
        .join(schema.concepts, schema.concepts.c.id == members.concept_id)
        .where(schema.concepts.c.version_id == newest, members.model_id.in_([model.id for model in chosen]))
        .order_by(members.model_id, members.concept_id, members.unit)
    )
    found: dict[int, dict[int, list[int]]] = {}
    for model, concept, unit in rows:
        found.setdefault(model, {}).setdefault(concept, []).append(unit)
    return found


def _store(connection: sa.Connection, context: Context, probe_set: int | None, found: Directions) -> int:
    wanted, table = context.parameters, schema.directions
    new = sa.insert(table).values(
        generator_id=context.payload["generator"],
        probe_set_id=probe_set,
        space=found.space,
        layer=found.layer,
        shares=found.share.tolist(),
        deviations=found.std.tolist(),
        steps=found.steps.numpy().astype("<f4").tobytes(),
        code_version=ENGINE_VERSION,
        job_id=context.claim.job_id,
        **{name: wanted[name] for name in ("class_index", "samples", "seed", "latents", "controls")},
    )
    number: int = connection.execute(new.returning(table.c.id)).scalar_one()
    return number


def _moved(
    sums: MovementSums,
    chosen: Sequence[MinedModel],
    subjects: Sequence[Subject],
    concepts: dict[int, dict[int, list[int]]],
) -> list[dict[str, Any]]:
    """The rows of `direction_movements`: of each model the units that move most, and all its concepts."""
    rows: list[dict[str, Any]] = []
    for place, (model, _) in enumerate(zip(chosen, subjects, strict=bool(subjects))):
        units = sums.result(place)
        rows += _rows(units, model.id, "unit", range(units.z.shape[1]), _UNITS)
        if groups := concepts.get(model.id):
            rows += _rows(sums.result(place, list(groups.values())), model.id, "concept_id", list(groups), len(groups))
    return rows


def _rows(moved: Movement, model: int, column: str, numbers: Sequence[int], most: int) -> list[dict[str, Any]]:
    """The surest `most` of each axis; what is dead never is."""
    other = "unit" if column == "concept_id" else "concept_id"
    rows = []
    for axis, z in enumerate(moved.z.numpy()):
        order = np.argsort(-np.abs(np.nan_to_num(z)), kind="stable")[:most]
        rows += [
            {
                "axis": axis,
                "model_id": model,
                column: numbers[place],
                other: None,
                "change": float(moved.change[axis, place]),
                "z": float(z[place]),
                "q_value": float(moved.q_value[axis, place]),
            }
            for place in order.tolist()
            if np.isfinite(z[place])
        ]
    return rows
