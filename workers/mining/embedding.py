"""Maps: sketches laid out in two dimensions, so that units whose activations correlate lie near each other.

UMAP (McInnes, Healy & Melville 2018) on the cosine distance 1 - r of the sketches. Neighbours are exact, by matrix
products, and not those of nearest-neighbour descent: they need no seed, are compiled for no machine, and take a GPU
where there is one. The layout begins at the first two principal components, which keeps apart what is far apart
(Kobak & Linderman 2021) and, unlike the spectral start, is there for any number of units.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

N_NEIGHBORS, MIN_DIST, SEED = 15, 0.1, 0
_BLOCK_NUMBERS = 1 << 25  # similarities at once: 128 MiB
_JITTER = 1e-4  # of the start's greatest coordinate: sketches that are equal do not start in one place

Floats = npt.NDArray[np.float32]


def embed(
    sketches: npt.NDArray[np.floating],
    *,
    n_neighbors: int = N_NEIGHBORS,
    min_dist: float = MIN_DIST,
    seed: int = SEED,
    device: torch.device | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Floats:
    """The place of each unit, float32 [U, 2]; the same for the same arguments.

    Args:
        sketches: [U, D], not 0; their length does not matter.
        n_neighbors: of each unit that are kept near, itself among them, at least 2; fewer where there are fewer units.
        min_dist: how near points may lie.
        seed: of the layout.
        device: where neighbours are sought.
        tell: called with the number of units whose neighbours are found; may raise to stop.
    """
    units = len(sketches)
    if units < 3:  # too few for neighbourhoods: side by side
        return np.array([[10.0 * unit, 0] for unit in range(units)], np.float32).reshape(units, 2)
    vectors = torch.from_numpy(np.array(sketches, np.float32))
    vectors /= vectors.norm(dim=1, keepdim=True)
    index, distance = _neighbours(vectors.to(device or "cpu"), min(n_neighbors, units - 1), tell)
    with warnings.catch_warnings():
        # It says that TensorFlow is not there, and that a layout of given neighbours takes no further points.
        warnings.filterwarnings("ignore", category=ImportWarning, module="umap")
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]")
        from umap import UMAP  # slow to import, and nothing else needs it

        layout = UMAP(
            n_neighbors=index.shape[1],
            min_dist=min_dist,
            metric="cosine",
            random_state=seed,
            n_jobs=1,  # more threads would give another layout each time
            init=_start(vectors, seed),
            precomputed_knn=(index, distance),
            disconnection_distance=np.inf,  # units of r = -1 are far apart, and still on the map
        )
        places: Floats = layout.fit_transform(vectors.numpy())
    return places.astype(np.float32) - places.mean(axis=0, dtype=np.float32)


def _neighbours(
    vectors: Tensor, count: int, tell: Callable[[int], None]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Each unit and its nearest others, nearest first: int32 and float32 [U, count], places and 1 - r.

    Args:
        vectors: float32 [U, D], of length 1.
        count: at least 2 and less than U.
        tell: see `embed`.
    """
    units = len(vectors)
    index = np.empty((units, count), np.int32)
    distance = np.zeros((units, count), np.float32)
    index[:, 0] = np.arange(units)
    rows = max(_BLOCK_NUMBERS // units, 1)
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
    """The first two principal components, scaled to [-10, 10], float32 [U, 2]; of equal sketches a cloud."""
    centred = (vectors - vectors.mean(dim=0)).double()
    # Of the covariance, not of the sketches: D x D whatever their number, and the same on every run.
    _, directions = torch.linalg.eigh(centred.T @ centred)
    first = directions[:, [-1, -2]]
    # The sign of a direction is free: that of its greatest part is made positive.
    first = first * first.gather(0, first.abs().argmax(dim=0, keepdim=True)).sign()
    start = (centred @ first).numpy()
    start *= 10 / max(np.abs(start).max(), np.finfo(np.float32).tiny)
    start += np.random.default_rng(seed).normal(scale=10 * _JITTER, size=start.shape)
    return start.astype(np.float32)
