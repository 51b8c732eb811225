"""Targets: what the matched units of a model see in the images that a generator is to make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.translation.responses import look, standardise
from workers.zoo.base import Network


@dataclass(frozen=True)
class Side:
    """A unit of a matched pair.

    Attributes:
        layer, channel: where it is.
        mean, std: over the probe set.
        minimum: its least activation there; only who removes a unit asks for it.
    """

    layer: str
    channel: int
    mean: float
    std: float
    minimum: float | None = None


@dataclass(frozen=True)
class Pair:
    """A unit of the generator and one of a model that fire alike, and how much the pair counts.

    Attributes:
        generator, model: the two units.
        weight: w_p of METHOD.md, > 0; any scale.
    """

    generator: Side
    model: Side
    weight: float = 1.0


@dataclass(frozen=True)
class LayerTargets:
    """The maps of one layer of a model at the units of its pairs, in N images.

    Attributes:
        layer: a module path of the model.
        pairs: P of them, all with a unit of this layer.
        maps: float32 [N, P, H, W], in deviations from the probe set's mean.
    """

    layer: str
    pairs: tuple[Pair, ...]
    maps: Tensor


@dataclass(frozen=True)
class Targets:
    """What one model sees in N images, layer by layer."""

    layers: tuple[LayerTargets, ...]

    @property
    def images(self) -> int:
        """N."""
        return len(self.layers[0].maps)

    def rows(self, chosen: Sequence[int]) -> Targets:
        """The same of some of the images, in that order."""
        index = torch.tensor(list(chosen), dtype=torch.int64)
        return Targets(tuple(replace(one, maps=one.maps[index.to(one.maps.device)]) for one in self.layers))


@torch.no_grad()
def look_at(network: Network, images: Tensor, pairs: Sequence[Pair]) -> Targets:
    """What a model sees in images, at its units of the pairs.

    Args:
        network: the model.
        images: float32 [N, 3, H, W] in [0, 1].
        pairs: with the model's units; one with a dead unit says nothing and is left out.

    Raises:
        InvalidRequest: when no pair is left, or a map is not finite.
    """
    by_layer: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.generator.std > 0 and pair.model.std > 0:
            by_layer.setdefault(pair.model.layer, []).append(pair)
    if not by_layer:
        raise InvalidRequest("there is no matched pair of two living units to go by")
    found = look(network, images, list(by_layer))
    layers = []
    for layer, mine in by_layer.items():
        sides = [pair.model for pair in mine]
        maps = found[layer][:, [side.channel for side in sides]]
        mean, std = (torch.tensor([getattr(side, name) for side in sides]).double() for name in ("mean", "std"))
        layers.append(LayerTargets(layer, tuple(mine), _finite(layer, standardise(maps, mean, std))))
    return Targets(tuple(layers))


def _finite(layer: str, maps: Tensor) -> Tensor:
    bad = ~maps.isfinite().flatten(1).all(1)
    if bad.any():
        raise InvalidRequest(f"layer {layer}: NaN or infinite activation on image {int(bad.int().argmax())}")
    return maps
