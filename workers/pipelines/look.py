"""The job `look`: networks look at one uploaded image, and their units are ranked by how they answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import torch
from torch import Tensor

from service.database.schema import unit_statistics
from service.pictures.cache import Cache
from service.submit_look import KEPT, looked_key
from service.uploads import uploaded_image
from workers.mining.regions import region_scores
from workers.pipelines import inputs
from workers.pipelines.context import Context
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.inputs import MinedModel
from workers.pipelines.passes import device_of
from workers.probes import ImageProbes

_NUMBERS = ("score", "inside", "outside", "peak")


def run(context: Context) -> None:
    """Ranks the units; their maps are kept among the pictures, to be shown.

    Raises:
        InvalidRequest: when a model cannot be loaded as it was registered.
        NotFound: when a model or the probe set was removed meanwhile.
    """
    wanted, ids = context.parameters, context.payload["models"]
    context.report(0, len(ids), "looking the image up")
    with context.engine.connect() as connection:
        probe_set = inputs.probe_row(connection, wanted["probe"])
    region = tuple(wanted["region"]) if "region" in wanted else None
    digest, cache = wanted["image"], Cache(context.settings)
    probes = ImageProbes([uploaded_image(context.settings, digest)], probe_set.height)
    found: list[dict[str, Any]] = []
    used, left_out = set(), 0
    for done, (number, name) in enumerate(zip(ids, wanted["models"], strict=True)):
        context.report(done, len(ids), f"{name} looks")
        with context.engine.connect() as connection:  # one network at a time: together they may not fit
            (model,) = inputs.load_models(context, connection, [number])
            statistics = _statistics(connection, probe_set.id, number)
        source, weights_digest = context.payload["sources"][str(number)]
        paths = {
            layer.name: cache.maps_path(looked_key(digest, probe_set.height, source, weights_digest, layer.name), 0)
            for layer in model.layout.layers
        }
        best, without = _ranked(model, _looked(cache, paths, probes, model, context), statistics, region)
        used.update(paths.values())
        found += best
        left_out += without
    cache.trim(keep=used)
    found.sort(key=lambda match: -match["score"])
    best = [{"probe_set": probe_set.name, **match} for match in found[:KEPT]]
    with context.publish({"matches": best, "left_out": left_out}):
        pass


def _looked(
    cache: Cache, paths: Mapping[str, Path], probes: ImageProbes, model: MinedModel, context: Context
) -> dict[str, Tensor]:
    """The model's maps on the one image, float32 [C, H, W] by layer: kept ones, or made now and kept."""
    if kept := _kept(cache, paths):
        return kept
    maps = _maps(probes, model, context.settings.device)
    for layer, path in paths.items():
        cache.write_maps(path, maps[layer].numpy())
    return _kept(cache, paths) or maps  # in the precision that another box will find


def _kept(cache: Cache, paths: Mapping[str, Path]) -> dict[str, Tensor] | None:
    """The maps that an earlier look left, by layer; None when some are gone."""
    maps = {}
    for layer, path in paths.items():
        values = cache.read_maps(path)
        if values is None:
            return None
        maps[layer] = torch.from_numpy(values)
    return maps


def _maps(probes: ImageProbes, model: MinedModel, device: str) -> dict[str, Tensor]:
    """The model's maps on the one image, float32 [C, H, W] by layer."""
    maps: dict[str, Tensor] = {}

    def consume(_model: str, layer: str, values: Tensor) -> None:
        maps[layer] = values[0].to("cpu", torch.float32, copy=True)

    layers = {model.name: [layer.name for layer in model.layout.layers]}
    forward = ForwardPasses(probes, {model.name: model.network}, layers, device_of(device))
    for _ in forward.run([torch.tensor([0])], [model.name], consume):
        pass
    return maps


def _ranked(
    model: MinedModel, maps: dict[str, Tensor], statistics: Tensor, region: tuple[float, ...] | None
) -> tuple[list[dict[str, Any]], int]:
    """The model's best units, and how many live ones have no inside."""
    parts, places, first, left_out = [], [], 0, 0
    for layer in model.layout.layers:
        mean, std = statistics[:, first : first + layer.channels]
        parts.append(region_scores(maps[layer.name], mean, std, region))  # type: ignore[arg-type]
        places += [(layer.name, first + channel, channel) for channel in range(layer.channels)]
        first += layer.channels
        if region is not None and layer.height * layer.width == 1:
            left_out += int((std > 0).sum())
    score, inside, outside, peak = (torch.cat([getattr(part, name) for part in parts]) for name in _NUMBERS)
    order = score.nan_to_num(-torch.inf).argsort(descending=True, stable=True)[:KEPT].tolist()
    best = [
        {
            "model": model.name,
            "layer": places[unit][0],
            "unit": unit,
            "channel": places[unit][2],
            "score": float(score[unit]),
            "inside": float(inside[unit]),
            "outside": None if region is None else float(outside[unit]),
            "peak": float(peak[unit]),
        }
        for unit in order
        if not score[unit].isnan()
    ]
    return best, left_out


def _statistics(connection: sa.Connection, probe_set_id: int, model_id: int) -> Tensor:
    """Mean and std of the model's units, float64 [2, U]; NaN of dead ones."""
    columns = unit_statistics.c
    rows = connection.execute(
        sa.select(columns.mean, columns.std, columns.dead)
        .where(columns.probe_set_id == probe_set_id, columns.model_id == model_id)
        .order_by(columns.unit)
    )
    values = [(row.mean, float("nan") if row.dead else row.std) for row in rows]
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 2).T
