"""Maps: what a layout of sketches in two dimensions is made from.

Units are near whose activations correlate: the distance is 1 - r, the cosine distance of the sketches. Neighbours are
exact, by matrix products, and not those of nearest-neighbour descent: they need no seed, and take a GPU where there is
one. The layout begins at the first two principal components, which keeps apart what is far apart (Kobak & Linderman
2021) and, unlike the spectral start, is there for any number of units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_BLOCK_NUMBERS = 1 << 25  # similarities at once: 128 MiB
_SPAN, _JITTER = 10.0, 1e-3  # of the start; sketches that are equal do not begin in one place

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbourhoods:
    """What `planar.lay_out` begins with.

    Attributes:
        index: int32 [U, K], each unit and its nearest others, nearest first.
        distance: float32 [U, K], 1 - r; 0 of the unit itself.
        start: float32 [U, 2].
    """

    index: npt.NDArray[np.int32]
    distance: Floats
    start: Floats

    @property
    def are_none(self) -> bool:
        """Whether the units are too few for neighbourhoods: `start` is all the map there is."""
        return len(self.start) < 3


def neighbourhoods(
    sketches: npt.NDArray[np.floating],
    count: int,
    *,
    seed: int,
    device: torch.device | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Neighbourhoods:
    """The neighbourhoods of units, and where they begin; the same for the same arguments.

    Args:
        sketches: [U, D], not 0; their length does not matter.
        count: K, units in a neighbourhood, at least 2; fewer where there are fewer units.
        seed: of the start's jitter.
        device: where neighbours are sought.
        tell: called with the number of units whose neighbours are found; may raise to stop.
    """
    vectors = torch.from_numpy(np.array(sketches, np.float32))
    vectors /= vectors.norm(dim=1, keepdim=True)
    start = _start(vectors, seed)
    index, distance = _nearest(vectors.to(device or "cpu"), max(min(count, len(vectors) - 1), 1), tell)
    return Neighbourhoods(index, distance, start)


def _nearest(
    vectors: Tensor, count: int, tell: Callable[[int], None]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Each unit and its nearest others, nearest first: int32 and float32 [U, count], places and 1 - r.

    Args:
        vectors: float32 [U, D], of length 1.
        count: at least 1, and at most U.
        tell: see `neighbourhoods`.
    """
    units = len(vectors)
    index = np.empty((units, count), np.int32)
    distance = np.zeros((units, count), np.float32)
    index[:, 0] = np.arange(units)
    rows = max(_BLOCK_NUMBERS // max(units, 1), 1)
    for start in range(0, units, rows):
        stop = min(start + rows, units)
        similarity = vectors[start:stop] @ vectors.T
        similarity[torch.arange(stop - start), torch.arange(start, stop)] = -torch.inf
        nearest, places = similarity.topk(count - 1, dim=1)
        index[start:stop, 1:] = places.cpu().numpy()
        distance[start:stop, 1:] = (1 - nearest).clamp_(min=0).cpu().numpy()
        tell(stop)
    return index, distance


def _start(vectors: Tensor, seed: int) -> Floats:
    """The first two principal components, scaled to [-10, 10], float32 [U, 2]; of equal sketches a small cloud."""
    if not len(vectors):
        return np.empty((0, 2), np.float32)
    centred = (vectors - vectors.mean(dim=0)).double()
    # Of the covariance, not of the sketches: D x D whatever their number, and the same on every run.
    _, directions = torch.linalg.eigh(centred.T @ centred)
    first = directions[:, [-1, -2]]
    # The sign of a direction is free: that of its greatest part is made positive.
    first = first * first.gather(0, first.abs().argmax(dim=0, keepdim=True)).sign()
    start = (centred @ first).numpy()
    start *= _SPAN / max(np.abs(start).max(), 1e-6)
    start += np.random.default_rng(seed).normal(scale=_SPAN * _JITTER, size=start.shape)
    return start.astype(np.float32)
