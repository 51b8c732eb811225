"""The job `translate`: fits how the units of one model are told from those of another, and stores it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch
from safetensors.numpy import save
from torch import Tensor

from rosetta.errors import InvalidRequest, NotFound
from service.database import schema
from service.database.copy import read_records
from service.engine_version import ENGINE_VERSION
from service.pictures.cache import whole
from service.submit_equivalents import coefficients_path
from workers.mining.errors import NonFiniteError
from workers.mining.layout import ModelLayout
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import device_of
from workers.pipelines.subjects import load_subjects
from workers.probes import GeneratorProbes, ImageProbes
from workers.translation.equivalents import Partners, Translation, TranslationSums, held_out
from workers.translation.responses import Subject

_BATCH = 8
_MATCH = np.dtype([("unit", "i4"), ("rank", "i2"), ("neighbour", "i4"), ("correlation", "f4")])
_ABOUT = "about"


def run(context: Context) -> None:
    """Fits both translations, of means over positions and of maps, and stores them with what they explain.

    Raises:
        InvalidRequest: when a model cannot be loaded as it was registered, or activations are not finite.
        NotFound: when a model, the probe set or the comparison was removed meanwhile.
    """
    wanted, device = context.parameters, device_of(context.settings.device)
    context.report(0, context.payload["images"], "loading the models")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, wanted["probe"])
        ids = [context.payload["source"], context.payload["target"]]
        loaded = {one.id: one for one in inputs.load_models(context, connection, sorted(ids))}
        models = [loaded[number] for number in ids]
        source, target = load_subjects(connection, probe_set.id, models, device)
        partners = _partners(connection, probe_set.id, ids, target.layout.units, wanted["k"])
        recorded = all(model.network.recording for model in models)
        probes = None if recorded else inputs.load_probes(context, connection, probe_set)
    count = probe_set._mapping["count"]  # `.count` is a method of tuples
    runs: list[tuple[GeneratorProbes | ImageProbes | None, int, int]] = [(probes, 0, count)]
    if wanted["unseen"]:
        assert isinstance(probes, GeneratorProbes)  # `submit_equivalents` looked
        fresh = GeneratorProbes(
            probes.network, wanted["seed"], wanted["held_out"], probe_set.truncation, probe_set.class_index
        )
        runs.append((fresh, count, wanted["held_out"]))
        tested = torch.arange(count + wanted["held_out"]) >= count
    else:
        tested = held_out(count, wanted["held_out"] / count, wanted["seed"])
    pooled, maps = (TranslationSums(source, target, partners, tested, pooled=kind) for kind in (True, False))
    done = 0
    try:
        for positions, seen in _activations(runs, models, wanted["seed"], device):
            context.report(done, context.payload["images"], f"telling {models[1].name} from {models[0].name}")
            for sums in (pooled, maps):
                sums.update(positions, seen[0], seen[1])
            done += len(positions)
    except NonFiniteError as error:
        raise InvalidRequest(
            f"layer '{error.layer}' gave NaN or infinity on image {error.image}: register the model without it"
        ) from error
    found = [sums.result(wanted["ridge"]) for sums in (pooled, maps)]
    content = _file(models, (source, target), found)
    digest = hashlib.sha256(content).hexdigest()
    with whole(coefficients_path(context.settings, digest)) as part:
        part.write_bytes(content)
    outcome: dict[str, Any] = {
        "units": len(found[0].partners.units),
        "explained": _number(found[1].explained.ridge_total),
    }
    with context.publish(outcome) as connection:
        replaced, outcome["equivalents"] = _store(connection, context, probe_set.id, digest, found)
    for old in replaced - {digest}:
        coefficients_path(context.settings, old).unlink(missing_ok=True)


def _partners(connection: sa.Connection, probe_set: int, ids: Sequence[int], units: int, k: int) -> Partners:
    """The target's units with their k best matches in the source."""
    columns, matches = schema.comparisons.c, schema.matches.c
    comparison = connection.scalar(
        sa.select(columns.id).where(
            columns.probe_set_id == probe_set, columns.model_id == ids[1], columns.neighbour_model_id == ids[0]
        )
    )
    if comparison is None:
        raise NotFound("the comparison of these models was removed meanwhile: mine them again")
    rows = read_records(connection, schema.matches, _MATCH, matches.comparison_id == comparison, matches.rank <= k)
    index = np.full((units, k), -1, np.int64)
    correlation = np.full((units, k), np.nan, np.float32)
    index[rows["unit"], rows["rank"] - 1] = rows["neighbour"]
    correlation[rows["unit"], rows["rank"] - 1] = rows["correlation"]
    return Partners(torch.arange(units), torch.from_numpy(index), torch.from_numpy(correlation)).matched()


def _activations(
    runs: Sequence[tuple[GeneratorProbes | ImageProbes | None, int, int]],
    models: Sequence[MinedModel],
    seed: int,
    device: torch.device,
) -> Iterator[tuple[list[int], list[dict[str, Tensor]]]]:
    """Batches of images, in a random order of each run: their positions, and both models' maps by layer."""
    place = {model.name: number for number, model in enumerate(models)}
    seen: list[dict[str, Tensor]] = [{}, {}]

    def consume(model: str, layer: str, values: Tensor) -> None:
        number = place[model]
        seen[number][layer] = models[number].chosen(layer, values).clone()

    for probes, first, count in runs:
        forward = ForwardPasses(
            probes,
            {model.name: model.network for model in models},
            {model.name: [layer.name for layer in model.layout.layers] for model in models},
            device,
        )
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        for positions in forward.run(order.split(_BATCH), list(place), consume):
            yield (positions + first).tolist(), seen


def _file(models: Sequence[MinedModel], subjects: tuple[Subject, Subject], found: Sequence[Translation]) -> bytes:
    """Both translations as a safetensors file that says what it takes."""
    (source, target), partners = subjects, found[0].partners
    about = {
        side: {"name": model.name, "layers": _described(model.layout)}
        for side, model in zip(("source", "target"), models, strict=True)
    }
    arrays: dict[str, Any] = {
        "units": partners.units.numpy().astype(np.int32),
        "index": partners.index.numpy().astype(np.int32),
        "correlation": partners.correlation,
        "source_mean": source.mean,
        "source_std": source.std,
        "target_mean": target.mean[partners.units],
        "target_std": target.std[partners.units],
    }
    for kind, translation in zip(("pooled", "maps"), found, strict=True):
        arrays |= {f"{kind}_weights": translation.weights, f"{kind}_intercept": translation.intercept}
    numbers = {
        name: array if isinstance(array, np.ndarray) else np.ascontiguousarray(array.float().numpy())
        for name, array in arrays.items()
    }
    return save({**numbers, _ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)})


def _described(layout: ModelLayout) -> list[list[Any]]:
    return [[layer.name, layer.channels, layer.height, layer.width] for layer in layout.layers]


def _store(
    connection: sa.Connection, context: Context, probe_set: int, digest: str, found: Sequence[Translation]
) -> tuple[set[str], int]:
    """Writes the row in the place of one of its kind; digests that no row names any longer, and its id."""
    wanted, table = context.parameters, schema.equivalents
    kind = {
        "probe_set_id": probe_set,
        "source_model_id": context.payload["source"],
        "target_model_id": context.payload["target"],
        "k": wanted["k"],
    }
    same = sa.and_(*(table.c[name] == value for name, value in kind.items()))
    replaced = set(connection.scalars(sa.delete(table).where(same).returning(table.c.digest)))
    values: dict[str, Any] = {"images": found[0].images, "held_out": found[0].held_out, "digest": digest}
    for what, translation in zip(("pooled", "maps"), found, strict=True):
        explained = translation.explained
        totals = {
            "explained": explained.ridge_total,
            "best": explained.best_total,
            "chance": explained.chance_ridge_total,
        }
        values |= {f"{what}_{how}": _number(total) for how, total in totals.items()}
        values |= {
            f"{what}_by_unit": explained.ridge.tolist(),
            f"{what}_by_unit_chance": explained.chance_ridge.tolist(),
        }
    new = sa.insert(table).values(
        **kind,
        **values,
        units=found[0].partners.units.tolist(),
        code_version=ENGINE_VERSION,
        job_id=context.claim.job_id,
        **{name: wanted[name] for name in ("ridge", "unseen", "seed")},
    )
    number: int = connection.execute(new.returning(table.c.id)).scalar_one()
    shared = set(connection.scalars(sa.select(table.c.digest).where(table.c.digest.in_(replaced))))
    return replaced - shared, number


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
