"""The maps of one batch, in the layout that the products want: positions by channels, on every common grid."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from workers.mining.layout import Group
from workers.mining.resize import Grid, shrink


class GroupBuffer:
    """One group's shifted maps of the current batch, shrunk to each common grid, with a few images before them.

    Every buffer is float32 [history + batch, H, W, C]: the first `history` places hold the images that came just
    before this batch, so that "the same positions, another image" is a view and the null costs no copy.
    """

    def __init__(self, group: Group, targets: Iterable[Grid], batch: int, history: int, device: torch.device) -> None:
        """Allocate for at most `batch` images.

        Args:
            group: the group.
            targets: common grids with its partners' groups.
            batch: most images at once.
            history: how many preceding images to keep.
            device: where.
        """
        self.group = group
        self._history = history
        self._native = torch.empty(history + batch, *group.grid, group.channels, device=device)
        self._views: dict[Grid, Tensor] = {}
        for target in dict.fromkeys(targets):
            self._views[target] = (
                self._native
                if target == group.grid
                else torch.empty(history + batch, *target, group.channels, device=device)
            )
        self._head: dict[Grid, list[Tensor]] = {target: [] for target in self._views}

    @staticmethod
    def bytes_per_image(group: Group, targets: Iterable[Grid]) -> int:
        """What one image takes here."""
        positions = {group.grid: group.positions} | {grid: grid[0] * grid[1] for grid in targets}
        return 4 * group.channels * sum(positions.values())

    def write(self, offset: int, maps: Tensor, shift: Tensor) -> None:
        """Store one layer's maps of the batch, shifted.

        Args:
            offset: the layer's first channel in the group.
            maps: [B, C, H, W], any float type and memory format.
            shift: float32 [C].
        """
        batch, channels = maps.shape[:2]
        place = self._native[self._history : self._history + batch, ..., offset : offset + channels]
        torch.sub(maps.permute(0, 2, 3, 1), shift, out=place)

    def batch(self, images: int) -> Tensor:
        """The batch at the group's own grid: float32 [B, H, W, C]."""
        return self._native[self._history : self._history + images]

    def shrink(self, images: int) -> None:
        """Fill the common grids from the group's own."""
        for target, view in self._views.items():
            if target != self.group.grid:
                shrink(self.batch(images), target, view[self._history : self._history + images])

    def rows(self, target: Grid, first: int, images: int) -> Tensor:
        """Positions by channels, of `images` images beginning `first` after the batch's first (may be negative).

        Returns:
            float32 [images * H * W, C], a view.
        """
        start = self._history + first
        return self._views[target][start : start + images].view(-1, self.group.channels)

    def roll(self, images: int) -> None:
        """Make the last images of this batch the ones before the next, and keep the very first of all."""
        for target, view in self._views.items():
            head = self._head[target]
            missing = self._history - sum(len(part) for part in head)
            if missing > 0:
                head.append(view[self._history : self._history + min(images, missing)].clone())
        for view in {id(view): view for view in (self._native, *self._views.values())}.values():
            view[: self._history] = view[images : images + self._history].clone()

    def head(self, target: Grid, images: int) -> Tensor:
        """The very first `images` images: float32 [images * H * W, C]."""
        return torch.cat(self._head[target])[:images].view(-1, self.group.channels)

    def tail(self, target: Grid, images: int) -> Tensor:
        """The very last `images` images after `roll`: float32 [images * H * W, C]."""
        return self.rows(target, -images, images)
