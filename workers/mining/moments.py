"""Moments of one group of units: extremes, and sums and squared norms on every grid they are resized to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from workers.mining.errors import ShapeError
from workers.mining.resize import LAGS, Grid, gram_weights, lag_slices, sum_weights

# A unit whose range is this small beside its magnitude only shows rounding.
_DEAD_RANGE = 4 * torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class GroupMoments:
    """What a probe set gave for C units; values are of the unshifted maps, at the units' own grid.

    Attributes:
        mean, std, minimum, maximum: float64 [C].
        dead: bool [C]; a dead unit's activation never changes.
    """

    mean: Tensor
    std: Tensor
    minimum: Tensor
    maximum: Tensor
    dead: Tensor


class Moments:
    """Streaming moments of one group's shifted maps: any split of the images gives the same.

    Per batch, sums and lagged products are taken over images at each position in float32, then weighted for every
    target grid and accumulated in float64.
    """

    def __init__(self, grid: Grid, channels: int, targets: Iterable[Grid], device: torch.device) -> None:
        """Begin empty.

        Args:
            grid: the units' own grid.
            channels: C.
            targets: the grids that the maps are resized to, each at least as large as `grid`.
            device: where the maps are.
        """
        self._grid = grid
        self._targets = tuple(dict.fromkeys((grid, *targets)))
        positions = grid[0] * grid[1]
        self.images = 0
        self._sums = torch.zeros(len(self._targets), channels, dtype=torch.float64, device=device)
        self._squares = torch.zeros_like(self._sums)
        self._low = torch.full((positions, channels), torch.inf, device=device)
        self._high = torch.full((positions, channels), -torch.inf, device=device)
        self._sum_weights = torch.stack([sum_weights(grid, target) for target in self._targets]).to(device)
        self._bands = [
            (lag, weights.flatten(1).to(device))
            for lag in LAGS
            if lag[0] < grid[0] and abs(lag[1]) < grid[1]
            for weights in [torch.stack([gram_weights(grid, target, lag) for target in self._targets])]
            if weights.any()
        ]

    def update(self, maps: Tensor) -> None:
        """Take a batch in.

        Args:
            maps: float32 [B, H, W, C], contiguous, shifted.
        Raises:
            ShapeError: another grid.
        """
        batch, height, width, channels = maps.shape
        if (height, width) != self._grid:
            raise ShapeError(f"maps are {height} x {width}, expected {self._grid[0]} x {self._grid[1]}")
        self.images += batch
        flat = maps.view(batch, height * width, channels)
        self._sums += self._sum_weights @ flat.sum(0).double()
        torch.minimum(self._low, flat.amin(0), out=self._low)
        torch.maximum(self._high, flat.amax(0), out=self._high)
        for lag, weights in self._bands:
            here, there = (maps[:, rows, columns].unbind() for rows, columns in lag_slices(lag))
            products = torch.zeros_like(here[0])
            for left, right in zip(here, there, strict=True):  # image by image, the sum stays in the cache
                products.addcmul_(left, right)
            self._squares += weights @ products.flatten(0, 1).double()

    @property
    def finite(self) -> bool:
        """False once a NaN or infinity came in."""
        return bool(torch.isfinite(self._squares).all())

    def merge(self, other: Moments) -> Self:
        """Take in what `other` saw, of other images shifted by the same."""
        self.images += other.images
        self._sums += other._sums
        self._squares += other._squares
        torch.minimum(self._low, other._low, out=self._low)
        torch.maximum(self._high, other._high, out=self._high)
        return self

    def at(self, target: Grid) -> tuple[Tensor, Tensor]:
        """Sum and centred squared norm of the shifted maps resized to `target`: float64 [C] each."""
        index = self._targets.index(target)
        total = self._sums[index]
        count = self.images * target[0] * target[1]
        return total, (self._squares[index] - total * total / count).clamp(min=0)

    def result(self, shift: Tensor) -> GroupMoments:
        """The units' statistics, the shift added back.

        Args:
            shift: float32 [C], what was subtracted from each map.
        """
        total, norm = self.at(self._grid)
        count = self.images * self._grid[0] * self._grid[1]
        shift = shift.double()
        low, high = self._low.amin(0).double() + shift, self._high.amax(0).double() + shift
        magnitude = torch.maximum(low.abs(), high.abs())
        return GroupMoments(
            mean=total / count + shift,
            std=(norm / count).sqrt(),
            minimum=low,
            maximum=high,
            dead=(high - low) <= _DEAD_RANGE * magnitude,
        )
