"""How the units of a model lie in memory: its layers grouped by grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from workers.mining.resize import Grid


@dataclass(frozen=True)
class LayerShape:
    """A recorded layer: `channels` units on a height x width grid."""

    name: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Group:
    """The layers of one model that share a grid; their channels stand side by side.

    Attributes:
        start: where this group's channels begin in the model's group order.
        offsets: each layer's first channel inside the group.
    """

    grid: Grid
    start: int
    channels: int
    offsets: dict[str, int]

    @property
    def positions(self) -> int:
        """Positions of the grid."""
        return self.grid[0] * self.grid[1]


@dataclass(frozen=True)
class ModelLayout:
    """A model's layers, in forward order: unit numbers count through them."""

    name: str
    layers: tuple[LayerShape, ...]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Layers by grid, in the order in which grids first appear."""
        by_grid: dict[Grid, list[LayerShape]] = {}
        for layer in self.layers:
            by_grid.setdefault((layer.height, layer.width), []).append(layer)
        groups, start = [], 0
        for grid, members in by_grid.items():
            offsets, channels = {}, 0
            for layer in members:
                offsets[layer.name] = channels
                channels += layer.channels
            groups.append(Group(grid, start, channels, offsets))
            start += channels
        return tuple(groups)

    @property
    def units(self) -> int:
        """How many units the model has."""
        return sum(layer.channels for layer in self.layers)

    @cached_property
    def numbers(self) -> Tensor:
        """int64 [U]: the unit number at each place of the group order."""
        first, numbers = {}, 0
        for layer in self.layers:
            first[layer.name] = numbers
            numbers += layer.channels
        channels = {layer.name: layer.channels for layer in self.layers}
        return torch.cat(
            [torch.arange(first[name], first[name] + channels[name]) for group in self.groups for name in group.offsets]
        )

    def group_of(self, layer: str) -> tuple[int, int]:
        """The index of the layer's group, and its first channel there."""
        for index, group in enumerate(self.groups):
            if layer in group.offsets:
                return index, group.offsets[layer]
        raise KeyError(layer)


def noise_layout(dimensions: int, side: int) -> ModelLayout:
    """The layout of the sketch's random projection, a model like any other (workers.mining.sketches)."""
    return ModelLayout("noise", (LayerShape("noise", dimensions, side, side),))
