"""Layouts: points in two dimensions that keep given neighbours near (UMAP; McInnes, Healy & Melville 2018).

A process of its own, `python -m workers.mining.planar FOLDER`: one that is not wanted any more can be ended in the
middle, numba's compiler stops no heartbeat, and what both hold of memory goes with it.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
GIVEN, FOUND = "given.npz", "places.npy"


def lay_out(index: npt.NDArray[np.int32], distance: Floats, start: Floats, *, min_dist: float, seed: int) -> Floats:
    """The place of each point, float32 [U, 2], around 0; the same for the same arguments.

    Args:
        index: int32 [U, K], each point and its nearest others, nearest first; U > K.
        distance: float32 [U, K], how far they are.
        start: float32 [U, 2], where they begin.
        min_dist: how near points may come to lie.
        seed: of the layout.
    """
    with warnings.catch_warnings():
        # It says that TensorFlow is not there, and that a layout of given neighbours takes no further points.
        warnings.filterwarnings("ignore", category=ImportWarning, module="umap")
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]")
        from umap import UMAP, layouts, umap_

        for module in (layouts, umap_):
            _keep_compiled(module)
        umap = UMAP(
            n_neighbors=index.shape[1],
            min_dist=min_dist,
            random_state=seed,
            n_jobs=1,  # more threads would give another layout each time
            init=start,
            precomputed_knn=(index, distance),
            disconnection_distance=np.inf,
        )
        places: Floats = umap.fit_transform(start)  # with neighbours given, it reads nothing of what they are of
    return _turned(places)


def _turned(places: Floats) -> Floats:
    """The places around 0 with their longest extent across, float32 [U, 2]: how a layout is turned is free."""
    centred = places.astype(np.float64) - places.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    across = directions[:, 1]
    across = across * (1 if across[np.abs(across).argmax()] > 0 else -1)
    up = np.array([-across[1], across[0]])  # no mirror
    return np.stack([centred @ across, centred @ up], axis=1).astype(np.float32)


def _keep_compiled(module: object) -> None:
    """Has numba keep on disk what it compiles of a module; UMAP asks for it in part, and the rest takes seconds."""
    from numba.core.dispatcher import Dispatcher

    for function in vars(module).values():
        if isinstance(function, Dispatcher):
            function.enable_caching()


def main(folder: Path) -> None:
    """Reads the arguments of `lay_out` in a folder, and writes there what comes of them."""
    given = np.load(folder / GIVEN)
    arrays = (given["index"], given["distance"], given["start"])
    places = lay_out(*arrays, min_dist=float(given["min_dist"]), seed=int(given["seed"]))
    np.save(folder / FOUND, places)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
