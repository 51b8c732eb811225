"""Network Dissection: where a unit is on against where a thing is to be seen.

Bau, Zhou, Khosla, Oliva & Torralba 2017, "Network Dissection: Quantifying Interpretability of Deep Visual
Representations", section 2.2-2.3: IoU = |A and M| / |A or M|, summed over the probe set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

LEAST_IOU = 0.04  # of a unit that is a detector of the thing, after the paper
_BYTES = 2**27  # of upsampled maps at once


@dataclass(frozen=True)
class Seen:
    """What an image shows.

    Attributes:
        things: int64 [w], which of all things, each once.
        masks: bool [w, H, W], where.
    """

    things: Tensor
    masks: Tensor


class Overlap:
    """Areas of a layer's units and of the things, and what they share, as images stream by."""

    def __init__(self, thresholds: Tensor, things: int, size: tuple[int, int]) -> None:
        """Begins empty.

        Args:
            thresholds: float32 [C], of `UpperQuantile`.
            things: W.
            size: height and width of the masks.
        """
        self._thresholds, self._size = thresholds, size
        device = thresholds.device
        self._units = torch.zeros(len(thresholds), dtype=torch.int64, device=device)
        self._things = torch.zeros(things, dtype=torch.int64, device=device)
        self._shared = torch.zeros(len(thresholds), things, dtype=torch.int64, device=device)

    def update(self, maps: Tensor, seen: Sequence[Seen]) -> None:
        """Takes a batch in.

        A unit is looked at where it is on at all: a map's bilinear resizing does not exceed its maximum.

        Args:
            maps: float32 [B, C, h, w].
            seen: of each of the B images, what it shows; on the maps' device.
        """
        on = maps.amax((2, 3)) > self._thresholds
        most = max(1, _BYTES // (4 * self._size[0] * self._size[1]))
        for image_maps, image_on, image in zip(maps, on, seen, strict=True):
            flat = image.masks.flatten(1).to(image_maps.dtype)
            self._things[image.things] += image.masks.sum((1, 2))
            if not image_on.any():
                continue
            for units in image_on.nonzero()[:, 0].split(most):
                resized = F.interpolate(image_maps[units][None], self._size, mode="bilinear", align_corners=False)[0]
                above = (resized > self._thresholds[units, None, None]).flatten(1)
                self._units[units] += above.sum(1)
                # Counts below 2**24 are exact in float32, and so are their sums.
                self._shared[units[:, None], image.things] += (above.to(flat.dtype) @ flat.T).long()

    def merge(self, other: Overlap) -> Self:
        """Takes in what `other` saw of other images."""
        self._units += other._units
        self._things += other._things
        self._shared += other._shared
        return self

    def result(self) -> Tensor:
        """IoU, float64 [C, W]; 0 where neither unit nor thing was seen."""
        union = self._units[:, None] + self._things - self._shared
        return self._shared.double() / union.clamp(min=1)
