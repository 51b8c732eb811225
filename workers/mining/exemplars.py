"""Exemplars: for every unit the images it fires on most, by the maximum and by the mean of its map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

KEEP = 9
_LOW = 2**32 - 1


@dataclass(frozen=True)
class Exemplars:
    """Some units' exemplars, best first.

    Attributes:
        images: int64 [U, K], positions in the probe set.
        values: float32 [U, K], the map's maximum (or mean) there.
    """

    images: Tensor
    values: Tensor


class TopImages:
    """The K images with the largest value of each unit, as they stream by; equal values by position.

    A value and its image are one int64, the value's order-preserving bits above the position's complement: the top K
    are then the same for any order and any split of the images, ties included.
    """

    def __init__(self, units: int, keep: int, device: torch.device) -> None:
        """Begin empty.

        Args:
            units: U.
            keep: K.
            device: where the values are.
        """
        self._keep = keep
        self._keys = torch.empty(units, 0, dtype=torch.int64, device=device)

    def update(self, values: Tensor, positions: Tensor) -> None:
        """Take a batch in.

        Args:
            values: float32 [B, U], finite.
            positions: int64 [B], the images' places in the probe set.
        """
        bits = values.T.contiguous().view(torch.int32).long()
        # IEEE 754: of negative numbers, larger bits are smaller numbers.
        ordered = torch.where(bits < 0, bits ^ (2**31 - 1), bits)
        self._take((ordered << 32) | (_LOW - positions.to(values.device)))

    def merge(self, other: TopImages) -> Self:
        """Take in what `other` saw of other images."""
        self._take(other._keys)
        return self

    def _take(self, keys: Tensor) -> None:
        keys = torch.cat([self._keys, keys], 1)
        self._keys = keys.topk(min(self._keep, keys.shape[1]), dim=1).values

    def result(self) -> Exemplars:
        """The exemplars so far."""
        ordered = (self._keys >> 32).int()
        bits = torch.where(ordered < 0, ordered ^ (2**31 - 1), ordered)
        return Exemplars(images=_LOW - (self._keys & _LOW), values=bits.view(torch.float32))
