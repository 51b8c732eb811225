"""The job `correlate`: the exact r of one unit with some others; nothing is stored but the job's result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import torch

from rosetta.results import CorrelatedMatch
from workers.mining.miner import Miner
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import run_passes


def run(context: Context) -> None:
    """Correlates the unit of the part's payload with its candidates, over the whole probe set.

    Raises:
        InvalidRequest: when weights or layers are others than registered, or activations are not finite.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    (owner, unit), candidates = context.payload["unit"], context.payload["candidates"]
    similarities: dict[int, dict[int, float]] = {}
    for model, number, similarity in candidates:
        similarities.setdefault(model, {})[number] = similarity
    context.report(0, context.payload["images"], "loading the models")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, context.parameters["probe"])
        loaded = inputs.load_models(context, connection, sorted({owner, *similarities}))
    models = sorted(loaded, key=lambda model: (model.id != owner, model.name))  # the unit's own first
    miner = run_passes(
        context,
        probe_set,
        [_restricted(model, [unit] if model.id == owner else list(similarities[model.id])) for model in models],
        [(0, place) for place in range(1, len(models))],
        [],
        keep=max(map(len, similarities.values())),
        permutations=0,
        doing="correlating units of",
    )
    matches = [
        match
        for place, model in enumerate(models[1:], start=1)
        for match in _matches(miner, place, probe_set.name, (models[0], unit), (model, similarities[model.id]))
    ]
    with context.publish({"images": miner.images, "matches": [asdict(match) for match in matches]}):
        pass


def _restricted(model: MinedModel, units: Sequence[int]) -> MinedModel:
    """The model with nothing but some units, and the layers that they are in; their order is that of their numbers."""
    layers, channels, first = [], {}, 0
    for layer in model.layout.layers:
        here = [unit - first for unit in sorted(units) if first <= unit < first + layer.channels]
        if here:
            layers.append(replace(layer, channels=len(here)))
            channels[layer.name] = torch.tensor(here)
        first += layer.channels
    return replace(model, layout=replace(model.layout, layers=tuple(layers)), channels=channels)


def _matches(
    miner: Miner,
    place: int,
    probe_set: str,
    asked: tuple[MinedModel, int],
    other: tuple[MinedModel, dict[int, float]],
) -> Iterator[CorrelatedMatch]:
    """The candidates in one model by r, best first; one that does not change on the probe set has none.

    Args:
        miner: having seen the probe set.
        place: of the other model; the unit's is 0.
        probe_set: its name.
        asked: the unit's model and its number.
        other: the other model, and the candidates' similarities by number.
    """
    (owner, unit), (model, similarities) = asked, other
    layer, channel = _place(owner, unit)
    numbers = sorted(similarities)
    found = miner.pair(0, place).forward.neighbours
    ranked = zip(found.index[0].tolist(), found.correlation[0].tolist(), strict=True)
    for rank, (index, correlation) in enumerate(ranked, start=1):
        if index < 0:
            return
        neighbour_layer, neighbour_channel = _place(model, numbers[index])
        yield CorrelatedMatch(
            probe_set=probe_set,
            model=owner.name,
            layer=layer,
            unit=unit,
            channel=channel,
            neighbour_model=model.name,
            neighbour_layer=neighbour_layer,
            neighbour_unit=numbers[index],
            neighbour_channel=neighbour_channel,
            correlation=correlation,
            similarity=similarities[numbers[index]],
            rank=rank,
        )


def _place(model: MinedModel, unit: int) -> tuple[str, int]:
    """Layer and channel of a unit."""
    channel = unit
    for layer in model.layout.layers:
        if channel < layer.channels:
            return layer.name, channel
        channel -= layer.channels
    raise IndexError(unit)
