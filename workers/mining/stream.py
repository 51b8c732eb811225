"""One model's maps as they stream by: shifted, laid out by group, and summed up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.mining.buffers import GroupBuffer
from workers.mining.errors import NonFiniteError, ShapeError
from workers.mining.exemplars import KEEP, Exemplars, TopImages
from workers.mining.layout import Group, ModelLayout
from workers.mining.moments import GroupMoments, Moments
from workers.mining.plan import common_grids, joint_grids


class Shifts:
    """A provisional mean of each unit, subtracted before anything is summed: large offsets eat float32.

    It is each unit's mean over the first image that is visited, so it does not depend on the batches, and what
    several shards sum can be merged.
    """

    def __init__(self) -> None:
        self._of: dict[str, Tensor] = {}

    def of(self, layer: str, maps: Tensor) -> Tensor:
        """The layer's shifts, float32 [C], from the first image of `maps` [B, C, H, W] at the first call."""
        if layer not in self._of:
            mean = maps[0].double().mean((1, 2)).float()
            self._of[layer] = torch.where(mean.isfinite(), mean, 0)  # the error names layer and image later
        return self._of[layer]

    def known(self, layer: str) -> Tensor:
        """The layer's shifts, once they are chosen."""
        return self._of[layer]

    def group(self, group: Group) -> Tensor:
        """Shifts of a group's units, float32 [C]."""
        return torch.cat([self._of[layer] for layer in group.offsets])


class ModelStream:
    """Buffers and moments of one model in one pass."""

    def __init__(
        self,
        layout: ModelLayout,
        partners: Sequence[ModelLayout],
        shifts: Shifts,
        batch: int,
        history: int,
        device: torch.device,
        *,
        exemplars: bool = False,
    ) -> None:
        """Allocate.

        Args:
            layout: the model's layers.
            partners: the models it is compared with, the projection among them.
            shifts: the model's provisional means, shared by all passes.
            batch: most images at once.
            history: how many preceding images the null needs.
            device: where.
            exemplars: whether to take them.
        """
        self.layout, self._shifts = layout, shifts
        self.buffers = [
            GroupBuffer(group, grids, batch, history, device)
            for group, grids in zip(layout.groups, common_grids(layout, partners), strict=True)
        ]
        self.moments = [
            Moments(group.grid, group.channels, grids, device)
            for group, grids in zip(layout.groups, joint_grids(layout, partners), strict=True)
        ]
        self._tops = [
            [TopImages(group.channels, KEEP, device) for _ in ("maximum", "mean")]
            for group in layout.groups
            if exemplars
        ]
        self._device = device
        self._shapes = {layer.name: layer for layer in layout.layers}

    def write(self, layer: str, maps: Tensor) -> None:
        """Take one layer's maps of the batch: [B, C, H, W]. They are copied.

        Raises:
            ShapeError: when the maps are not what the layout says.
        """
        shape = self._shapes[layer]
        if maps.ndim != 4 or maps.shape[1:] != (shape.channels, shape.height, shape.width):
            expected = f"[N, {shape.channels}, {shape.height}, {shape.width}]"
            raise ShapeError(f"{self.layout.name}/{layer} gave {list(maps.shape)}, expected {expected}")
        group, offset = self.layout.group_of(layer)
        maps = maps.to(self._device)
        self.buffers[group].write(offset, maps, self._shifts.of(layer, maps))

    def finish(self, positions: Tensor) -> None:
        """Sum the batch up and shrink it, once all layers are written.

        Args:
            positions: int64 [B], the images' places in the probe set.
        Raises:
            NonFiniteError: naming layer and image.
        """
        images = len(positions)
        for buffer, moments in zip(self.buffers, self.moments, strict=True):
            moments.update(buffer.batch(images))
            if not moments.finite:
                self._blame(buffer, positions)
            buffer.shrink(images)
        for buffer, (by_maximum, by_mean) in zip(self.buffers, self._tops, strict=False):
            maps = buffer.batch(images).flatten(1, 2)
            by_maximum.update(maps.amax(1), positions)
            by_mean.update(maps.mean(1), positions)

    def exemplars(self) -> tuple[Exemplars, Exemplars] | None:
        """By maximum and by mean, in group order; None when they were not asked for."""
        if not self._tops:
            return None
        shift = torch.cat([self._shifts.group(group) for group in self.layout.groups])[:, None]
        return tuple(
            Exemplars(torch.cat([one.images for one in found]), torch.cat([one.values for one in found]) + shift)
            for found in ([tops[measure].result() for tops in self._tops] for measure in (0, 1))
        )  # type: ignore[return-value]  # two

    def unit_moments(self) -> list[GroupMoments]:
        """What the units showed so far, by group."""
        return [
            moments.result(self._shifts.group(group))
            for group, moments in zip(self.layout.groups, self.moments, strict=True)
        ]

    def shift(self, layer: str) -> Tensor:
        """What was subtracted of the layer's maps, float32 [C]."""
        return self._shifts.known(layer)

    def roll(self, images: int) -> None:
        """Go on to the next batch."""
        for buffer in self.buffers:
            buffer.roll(images)

    def _blame(self, buffer: GroupBuffer, positions: Tensor) -> None:
        bad = ~buffer.batch(len(positions)).isfinite()
        image = int(bad.flatten(1).any(1).int().argmax())
        channel = int(bad[image].flatten(0, 1).any(0).int().argmax())
        layer = [name for name, offset in buffer.group.offsets.items() if offset <= channel][-1]
        raise NonFiniteError(self.layout.name, layer, int(positions[image]))
