"""The height above which a unit is on: exceeded by a given part of all its activations, exactly, in one pass."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

QUANTILE = 0.005  # Bau et al. 2017, "Network Dissection", section 2.2: P(a > T) = 0.005


def kept(positions: int, quantile: float) -> int:
    """How many activations of a unit have to be kept for its threshold."""
    return int(positions * quantile + 1e-9) + 1


class UpperQuantile:
    """For every unit of a layer the least T of its activations with P(a > T) <= quantile, as maps stream by.

    The largest `kept` activations are held. Until twice as many have come they are only put aside.
    """

    def __init__(self, positions: int, quantile: float = QUANTILE) -> None:
        """Begins empty.

        Args:
            positions: N x H x W, of the whole probe set.
            quantile: in [0, 1).
        """
        self._keep = kept(positions, quantile)
        self._parts: list[Tensor] = []
        self._held = 0

    def update(self, maps: Tensor) -> None:
        """Takes a batch in: float32 [B, C, H, W]."""
        self._take(maps.transpose(0, 1).flatten(1))

    def merge(self, other: UpperQuantile) -> Self:
        """Takes in what `other` saw of other images."""
        for part in other._parts:
            self._take(part)
        return self

    def _take(self, values: Tensor) -> None:
        self._parts.append(values.topk(min(self._keep, values.shape[1]), dim=1, sorted=False).values)
        self._held += self._parts[-1].shape[1]
        if self._held > 2 * self._keep:
            self._parts = [torch.cat(self._parts, 1).topk(self._keep, dim=1, sorted=False).values]
            self._held = self._keep

    def result(self) -> Tensor:
        """float32 [C]."""
        values = torch.cat(self._parts, 1)
        return values.topk(min(self._keep, values.shape[1]), dim=1).values[:, -1].clone()
