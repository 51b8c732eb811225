"""Sketches: a unit's maps projected at random, so that the cosine of two sketches approximates Pearson r.

The projection is a model like any other, of D "units" whose 14 x 14 maps are random signs: a sketch is the unit's
covariance with each of them, normalised. Random signs keep inner products as Gaussian numbers do (Achlioptas 2003,
"Database-friendly random projections"), cost one bit each, and come straight from a counter-based generator, so that
the same probe set gives the same projection with every library version, on every device, in every shard.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

DIMENSIONS = 512
SIDE = 14


def noise_maps(probe_digest: str, images: Tensor, dimensions: int = DIMENSIONS) -> Tensor:
    """The projection's maps for some images.

    Args:
        probe_digest: names the probe set; sketches of different probe sets cannot be compared.
        images: int64 [B], positions in the probe set.
        dimensions: D, a multiple of 8.
    Returns:
        float32 [B, D, 14, 14] of +1 and -1: the bits of Philox 4x64 keyed by the digest and the position.
    """
    key = np.frombuffer(hashlib.sha256(probe_digest.encode()).digest()[:16], dtype="<u8")
    count = dimensions * SIDE * SIDE
    words = -(-count // 64)
    maps = np.empty((len(images), count), dtype=np.float32)
    for row, image in zip(maps, images.tolist(), strict=True):
        raw = np.random.Philox(key=key, counter=[0, 0, 0, image]).random_raw(words).astype("<u8")
        row[:] = np.unpackbits(raw.view(np.uint8), count=count)
    maps *= 2
    maps -= 1
    return torch.from_numpy(maps).view(len(images), dimensions, SIDE, SIDE)


def normalise(projections: Tensor, dead: Tensor) -> Tensor:
    """Sketches of length 1.

    Args:
        projections: float64 [U, D], covariances with the projection's maps.
        dead: bool [U]; a dead unit's sketch is NaN.
    Returns:
        float16 [U, D].
    """
    norms = projections.norm(dim=1, keepdim=True)
    sketches = projections / torch.where(norms > 0, norms, torch.nan)
    sketches[dead] = torch.nan
    return sketches.half()
