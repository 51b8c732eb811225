"""What units answer: the standardised maps of a network's layers, while it makes images or looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.mining.activations import Recorder
from workers.mining.errors import ShapeError
from workers.mining.layout import ModelLayout
from workers.probes import preprocess
from workers.zoo.base import Latents, Network
from workers.zoo.maps import plain_maps


@dataclass(frozen=True)
class Subject:
    """A network whose units are read.

    Attributes:
        network: in evaluation mode, on the device where it is to run.
        layout: its recorded layers; units are numbered through them.
        mean, std: float64 [U] over the probe set, by unit number; a std of 0 or NaN: dead.
    """

    network: Network
    layout: ModelLayout
    mean: Tensor
    std: Tensor

    @cached_property
    def units(self) -> dict[str, slice]:
        """The unit numbers of each layer."""
        return unit_slices(self.layout)

    def place(self, unit: int) -> tuple[str, int]:
        """Layer and channel of a unit number."""
        return next((layer, unit - at.start) for layer, at in self.units.items() if at.start <= unit < at.stop)

    def standardised(self, layer: str, maps: Tensor) -> Tensor:
        """float32 [B, C, H, W] of a layer's maps: (x - mean) / std; 0 of a dead unit."""
        at = self.units[layer]
        return standardise(maps, self.mean[at], self.std[at])


def unit_slices(layout: ModelLayout) -> dict[str, slice]:
    """The unit numbers of each layer of a layout."""
    slices, start = {}, 0
    for layer in layout.layers:
        slices[layer.name] = slice(start, start + layer.channels)
        start += layer.channels
    return slices


def standardise(maps: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(x - mean) / std of maps [B, C, H, W] of C units; 0 of a dead unit. Subtracts before it rounds to float32."""
    if maps.shape[1] != len(mean):
        raise ShapeError(f"maps have {maps.shape[1]} channels, expected {len(mean)}")
    scale = torch.where(std > 0, 1 / std, 0.0).to(maps.device, torch.float32)
    return maps.float().sub(mean.to(maps.device, torch.float32)[:, None, None]).mul_(scale[:, None, None])


def look(network: Network, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """The maps [B, C, H, W] of some layers of a network that sees the images, float32 [B, 3, H, W] in [0, 1]."""
    if network.preprocessing is None:
        raise InvalidRequest("only a network that looks at images can be asked what it sees in them")
    found: dict[str, Tensor] = {}
    with _recorder(network, layers, found) as recorder:
        recorder.run(preprocess(images, network.preprocessing).contiguous(memory_format=torch.channels_last))
    return found


def make(generator: Network, latents: Latents, layers: Sequence[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
    """The images of latents, float32 [B, 3, H, W] in [0, 1], and the maps of some of the generator's layers."""
    if generator.inputs is None or generator.images is None:
        raise InvalidRequest("this model is no generator: it makes no images of latents")
    found: dict[str, Tensor] = {}
    with _recorder(generator, layers, found) as recorder:
        output = recorder.run_whole(*generator.inputs(latents))
    return generator.images(output), found


def _recorder(network: Network, layers: Sequence[str], found: dict[str, Tensor]) -> Recorder:
    to_maps = network.to_maps or plain_maps

    def keep(layer: str, output: Tensor) -> None:
        found[layer] = to_maps(layer, output).clone()

    return Recorder(network.module, layers, keep)
