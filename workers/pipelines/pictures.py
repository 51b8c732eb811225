"""The job `pictures`: runs networks on some images, and keeps their maps, and the images a generator made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch
from torch import Tensor

from service.pictures.cache import Cache
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import device_of
from workers.probes import GeneratorProbes, ImageProbes

_BATCH = 8  # images whose maps are held at once; the first ones are wanted soon


def run(context: Context) -> None:
    """Writes the pictures of the part's payload that are not kept already; each as soon as it is made.

    Raises:
        InvalidRequest: when a model cannot be loaded as it was registered, or an image is broken.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    wanted = {model["name"]: model for model in context.payload["models"]}
    positions = context.payload["positions"]
    context.report(0, len(positions), "loading the models")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, context.parameters["probe"])
        keys = {(name, layer): key for name, model in wanted.items() for layer, key in model["layers"].items()}
        files = _Files(Cache(context.settings), probe_set, keys)
        missing = [position for position in positions if not files.kept(position)]
        ids = [model["id"] for model in wanted.values() if model["layers"]]
        models = inputs.load_models(context, connection, ids) if ids and missing else []
        probes = _probes(context, connection, probe_set, models) if missing else None
    if missing:
        forward = ForwardPasses(
            probes,
            {model.name: model.network for model in models},
            {model.name: list(wanted[model.name]["layers"]) for model in models},
            device_of(context.settings.device),
        )
        done = len(positions) - len(missing)
        for made in _make(forward, [model.name for model in models], missing, files):
            done += made
            context.report(done, len(positions), "writing pictures")
    files.cache.trim(keep=files.written)
    with context.publish({"pictures": len(missing)}):
        pass


class _Files:
    """Where the job's pictures go."""

    def __init__(self, cache: Cache, probe_set: sa.Row[Any], keys: Mapping[tuple[str, str], str]) -> None:
        self.cache = cache
        self.written: set[Path] = set()
        self.makes_images = probe_set.kind == "generator"
        self._digest, self._keys = probe_set.digest, keys

    def kept(self, position: int) -> bool:
        """Whether everything of that image is there."""
        return all(path.is_file() for path in self._paths(position))

    def _paths(self, position: int) -> Iterator[Path]:
        yield from (self.cache.maps_path(key, position) for key in self._keys.values())
        if self.makes_images:
            yield self.cache.image_path(self._digest, position)

    def write(self, position: int, image: np.ndarray | None, maps: Mapping[tuple[str, str], np.ndarray]) -> None:
        """Writes an image uint8 [H, W, 3], where it is one that is made, and maps float32 [C, H, W] by model, layer."""
        self.written.update(self._paths(position))
        if image is not None:
            self.cache.write_image(self.cache.image_path(self._digest, position), image)
        for place, values in maps.items():
            self.cache.write_maps(self.cache.maps_path(self._keys[place], position), values)


def _probes(
    context: Context, connection: sa.Connection, probe_set: sa.Row[Any], models: list[MinedModel]
) -> GeneratorProbes | ImageProbes | None:
    """The probe set's images; None where nobody looks at them: recordings of a folder of images."""
    if probe_set.kind == "images" and all(model.network.recording for model in models):
        return None
    return inputs.load_probes(context, connection, probe_set)


def _make(forward: ForwardPasses, models: list[str], missing: list[int], files: _Files) -> Iterator[int]:
    """Runs the models and writes what they give.

    Yields:
        How many images each batch had.
    """
    images: list[np.ndarray] = []
    maps: dict[tuple[str, str], np.ndarray] = {}

    def consume(model: str, layer: str, values: Tensor) -> None:
        maps[model, layer] = values.to("cpu", torch.float32, copy=True).numpy()

    def see(batch: Tensor) -> None:
        images[:] = batch.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()

    for batch in forward.run(torch.tensor(missing).split(_BATCH), models, consume, see if files.makes_images else None):
        for row, position in enumerate(batch.tolist()):
            image = images[row] if files.makes_images else None
            files.write(position, image, {place: values[row] for place, values in maps.items()})
        yield len(batch)
