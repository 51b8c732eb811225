"""The job `label_masks`: the things whose masks units overlap with (Network Dissection)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.labelling.overlap import Overlap
from workers.labelling.thresholds import UpperQuantile, kept
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.inputs import MinedModel
from workers.pipelines.label_store import Said, concepts_within, dead_units, store_labels
from workers.pipelines.masks import ProbeMasks
from workers.pipelines.passes import budget_on, device_of
from workers.pipelines.sightings import Taken, batches

AUTHOR = "masks"
_BATCH = 8  # images whose maps are held at once
# Bytes of an activation that a threshold takes: itself, as many again to come, and both once more while sorted.
_BYTES = 4 * 4

Layer = tuple[str, str]  # model, layer


@dataclass(frozen=True)
class _Found:
    """Of a layer's units: the height above which each is on, float32 [C], and IoU, float64 [C, W]."""

    heights: Tensor
    iou: Tensor


def run(context: Context) -> None:
    """Labels the units of the part's models, and the concepts within them.

    Raises:
        InvalidRequest: when a model cannot be loaded as it was registered, or gives NaN, or a mask is broken, or the
            memory budget is too small for a layer.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    context.report(0, context.payload["images"], "loading the models")
    ids, device = context.payload["models"], device_of(context.settings.device)
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, context.parameters["probe"])
        models = inputs.load_models(context, connection, ids)
        dead = {model: dead_units(connection, probe_set.id, model) for model in ids}
        concepts = concepts_within(connection, probe_set.id, ids)
        masks = ProbeMasks(connection, context.settings, probe_set, context.parameters["words"], device)
    found = _look(context, probe_set, models, masks)
    said: list[Said] = []
    rows = np.zeros((len(concepts.ids), len(masks.words)))  # of concepts: sums of their members' IoU
    for model in models:
        layers = [found[model.name, layer.name] for layer in model.layout.layers]
        iou = torch.cat([layer.iou for layer in layers]).numpy()
        iou[dead[model.id]] = 0
        heights = torch.cat([layer.heights for layer in layers]).tolist()
        said += [
            Said(word, score, {**evidence, "threshold": heights[unit]}, unit=(model.id, unit))
            for unit, word, score, evidence in _detected(context, masks, iou)
        ]
        places, members = concepts.of(model.id)
        np.add.at(rows, places, iou[members])
    said += [
        Said(word, score, evidence, concept=int(concepts.ids[place]))
        for place, word, score, evidence in _detected(context, masks, rows / np.maximum(concepts.sizes, 1)[:, None])
    ]
    with context.publish({"labels": len(said), "words": len(masks.words)}) as connection:
        store_labels(
            connection,
            context,
            kind="mask",
            author=AUTHOR,
            probe_set_id=probe_set.id,
            models=ids,
            concepts=concepts.ids.tolist(),
            said=said,
        )


def _detected(
    context: Context, masks: ProbeMasks, iou: npt.NDArray[np.float64]
) -> Iterator[tuple[int, str, float, dict[str, Any]]]:
    """Of IoU [R, W] the rows and words that count, with IoU and evidence."""
    quantile = context.parameters["quantile"]
    for row, place in np.argwhere(iou > context.parameters["least_iou"]).tolist():
        yield row, masks.words[place], float(iou[row, place]), {"quantile": quantile, "images": masks.images[place]}


def _look(
    context: Context, probe_set: sa.Row[Any], models: Sequence[MinedModel], masks: ProbeMasks
) -> dict[Layer, _Found]:
    """What all layers' units overlap with: two passes over the images for those that fit the memory together."""
    positions = {
        (model.name, layer.name): probe_set._mapping["count"] * layer.height * layer.width
        for model in models
        for layer in model.layout.layers
    }
    groups = _groups(context, models, positions)
    passes = iter(range(2 * len(groups)))
    found: dict[Layer, _Found] = {}
    for group in groups:
        quantiles = {layer: UpperQuantile(positions[layer], context.parameters["quantile"]) for layer in group}
        for _, taken in _pass(context, probe_set, models, group, next(passes), 2 * len(groups)):
            for layer, maps in taken.items():
                quantiles[layer].update(maps)
        heights = {layer: quantiles.pop(layer).result() for layer in group}
        overlaps = {layer: Overlap(heights[layer], len(masks.words), masks.size) for layer in group}
        for where, taken in _pass(context, probe_set, models, group, next(passes), 2 * len(groups)):
            seen = masks.seen(where.tolist())
            for layer, maps in taken.items():
                overlaps[layer].update(maps, seen)
        found |= {layer: _Found(heights[layer].cpu(), overlaps[layer].result().cpu()) for layer in group}
    return found


def _pass(
    context: Context,
    probe_set: sa.Row[Any],
    models: Sequence[MinedModel],
    group: Sequence[Layer],
    number: int,
    passes: int,
) -> Iterator[tuple[Tensor, Taken]]:
    """One pass over the images with some layers; the progress of the job is told meanwhile."""
    layers: dict[str, list[str]] = {}
    for model, layer in group:
        layers.setdefault(model, []).append(layer)
    running = [model for model in models if model.name in layers]
    count = probe_set._mapping["count"]  # `.count` is a method of tuples
    done = number * count
    note = "overlap with masks" if number % 2 else "heights of activations"
    for positions, taken in batches(context, probe_set, running, layers, _copied, _BATCH):
        yield positions, taken
        done += len(positions)
        context.report(done, passes * count, note)


def _copied(maps: Tensor) -> Tensor:
    return maps.float().clone()


def _groups(context: Context, models: Sequence[MinedModel], positions: dict[Layer, int]) -> list[list[Layer]]:
    """The layers, as many together as fit the memory budget.

    Raises:
        InvalidRequest: when one does not fit alone.
    """
    budget = budget_on(device_of(context.settings.device), context.settings.memory_budget)
    groups: list[list[Layer]] = [[]]
    left = budget
    for model in models:
        for layer in model.layout.layers:
            name = (model.name, layer.name)
            needs = _BYTES * layer.channels * kept(positions[name], context.parameters["quantile"])
            if needs > budget:
                raise InvalidRequest(
                    f"the thresholds of {model.name}/{layer.name} take {needs:,} bytes, and the memory budget is "
                    f"{budget:,}: raise ROSETTA_MEMORY_BUDGET, or ask for a smaller quantile",
                    model=model.name,
                    layer=layer.name,
                )
            if needs > left:
                groups.append([])
                left = budget
            groups[-1].append(name)
            left -= needs
    return groups
