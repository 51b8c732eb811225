"""The job `walk`: the images along a direction of a generator's latents, side by side, kept among the pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import sqlalchemy as sa
import torch

from rosetta.errors import NotFound
from service.database import schema
from service.pictures.cache import Cache
from service.queries import translations
from service.queries.directions import directions_row
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.passes import device_of
from workers.probes import GeneratorProbes
from workers.translation.directions import to_w, walk
from workers.translation.responses import make
from workers.zoo.base import Latents, Network

_ROWS = 16


def run(context: Context) -> None:
    """Makes the images and keeps them.

    Raises:
        InvalidRequest: when the generator cannot be loaded as it was registered.
        NotFound: when it, the directions or the translation were removed meanwhile.
    """
    wanted, device = context.payload, device_of(context.settings.device)
    context.report(0, len(wanted["sigmas"]), "loading the generator")
    with context.engine.connect() as connection:
        row = directions_row(connection, wanted["directions"])
        (generator,) = inputs.load_models(context, connection, [row.generator_id])
        network = generator.network
        network.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        start = _start(connection, network, row, wanted["start"])
    steps = np.frombuffer(row.steps, "<f4").reshape(len(row.shares), -1)
    along = walk(start.to(device), torch.from_numpy(steps[wanted["axis"]].copy()), wanted["sigmas"], row.space)
    pictures = []
    for first in range(0, len(along.values), _ROWS):
        context.report(first, len(along.values), "walking")
        pictures.append(_pixels(network, along, slice(first, first + _ROWS)))
    cache = Cache(context.settings)
    path = cache.walk_path(wanted["key"])
    cache.write_image(path, np.concatenate(list(np.concatenate(pictures)), axis=1))
    cache.trim(keep={path})
    with context.publish({"images": len(along.values)}):
        pass


def _start(connection: sa.Connection, network: Network, row: sa.Row[Any], start: dict[str, int]) -> Latents:
    """Where the walk leads through: a sample by its seed, or an image of a translation."""
    if "translation" not in start:
        truncation = None
        if row.probe_set_id is not None:
            probe_sets = schema.probe_sets.c
            truncation = connection.scalar(sa.select(probe_sets.truncation).where(probe_sets.id == row.probe_set_id))
        drawn = GeneratorProbes(network, start["seed"], 1, truncation, row.class_index).latents([0])
    else:
        made = translations.get_translation(connection, start["translation"])
        if start["position"] >= len(made.items):
            raise NotFound(f"translation {made.id} has no image {start['position']}")
        item = made.items[start["position"]]
        values = translations.read_latents(connection, made.id, item.position)
        classes = None if item.class_index is None else torch.tensor([item.class_index])
        drawn = Latents(torch.from_numpy(values.copy()), item.space, classes)
    if row.space == "z":
        return drawn
    device = next(network.module.parameters()).device
    return to_w(network, drawn.to(device))


@torch.inference_mode()
def _pixels(network: Network, latents: Latents, rows: slice) -> np.ndarray:
    """uint8 [N, H, W, 3] of some of the latents."""
    classes = None if latents.classes is None else latents.classes[rows]
    images, _ = make(network, Latents(latents.values[rows], latents.space, classes, latents.truncation))
    found: np.ndarray = images.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return found
