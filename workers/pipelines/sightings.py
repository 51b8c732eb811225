"""Forward passes of labelling: what units respond on average, and how an image-text model embeds the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import device_of

BATCH = 16  # images whose maps are held at once
WHOLE = ""  # the network itself as a layer: an image-text model gives its embeddings there

# By model and layer, what was taken of a batch.
Taken = dict[tuple[str, str], Tensor]


def batches(
    context: Context,
    probe_set: sa.Row[Any],
    models: Sequence[MinedModel],
    layers: Mapping[str, Sequence[str]],
    take: Callable[[Tensor], Tensor],
    batch: int = BATCH,
) -> Iterator[tuple[Tensor, Taken]]:
    """Runs models over the whole probe set.

    Args:
        context: of the job.
        probe_set: its row.
        models: whom to run.
        layers: of each, by name, what to record.
        take: what to keep of a layer's maps [B, C, H, W]; a copy.
        batch: images at once.

    Yields:
        The positions of each batch, int64 [B], and what was taken of it.

    Raises:
        InvalidRequest: when activations are not finite.
    """
    with context.engine.connect() as connection:
        looked_at = any(model.network.recording is None for model in models)
        probes = inputs.load_probes(context, connection, probe_set) if looked_at else None
    networks = {model.name: model.network for model in models}
    forward = ForwardPasses(probes, networks, layers, device_of(context.settings.device))
    taken: Taken = {}

    def consume(model: str, layer: str, maps: Tensor) -> None:
        taken[model, layer] = take(maps)

    count = probe_set._mapping["count"]  # `.count` is a method of tuples
    for positions in forward.run(torch.arange(count).split(batch), list(layers), consume):
        for (model, layer), values in taken.items():
            _check_finite(context, probe_set, model, layer, values, positions)
        yield positions, taken


def means(maps: Tensor) -> Tensor:
    """Of each map, float32 [B, C]."""
    return maps.float().mean((2, 3))


def _check_finite(
    context: Context, probe_set: sa.Row[Any], model: str, layer: str, values: Tensor, positions: Tensor
) -> None:
    bad = ~values.isfinite()
    if bad.any():
        image = int(positions[int(bad.flatten(1).any(1).int().argmax())])
        raise InvalidRequest(
            f"model '{model}', layer '{layer or 'output'}' gave NaN or infinity on "
            f"{inputs.image_name(context.engine, probe_set, image)}: its weights may be broken",
            model=model,
            layer=layer,
            image=image,
        )
