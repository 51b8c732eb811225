"""Running the engine on maps that a test holds in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.mining.layout import LayerShape, ModelLayout
from workers.mining.miner import Miner

Maps = dict[str, Tensor]  # layer -> [N, C, H, W]


def layout(name: str, maps: Maps) -> ModelLayout:
    return ModelLayout(name, tuple(LayerShape(layer, *value.shape[1:]) for layer, value in maps.items()))


def mine(models: dict[str, Maps], *, batch: int | None = None, sketch: bool = True, **options) -> Miner:
    """A miner that has seen all images, in batches of at most `batch`; all pairs of models."""
    places = range(len(models))
    images = len(next(iter(next(iter(models.values())).values())))
    options.setdefault("probe_digest", "test-probe")
    miner = Miner(
        [layout(name, maps) for name, maps in models.items()],
        [(a, b) for a in places for b in places if a < b],
        list(places) if sketch else [],
        images,
        **options,
    )
    for part in miner.passes:
        running = miner.start(part)
        for positions in miner.order.split(min(batch or part.batch, part.batch)):
            for place in part.models:
                for layer, maps in list(models.values())[place].items():
                    running.write(place, layer, maps[positions])
            running.finish_batch(positions)
        miner.finish(running)
    return miner


def correlations(miner: Miner, a: int, b: int) -> Tensor:
    """float32 [A, B] by unit number, NaN where not kept (mine with keep >= B to see all)."""
    neighbours = miner.pair(a, b).forward.neighbours
    matrix = torch.full((miner.models[a].units, miner.models[b].units), torch.nan)
    units, rank = (neighbours.index >= 0).nonzero(as_tuple=True)
    matrix[units, neighbours.index[units, rank]] = neighbours.correlation[units, rank]
    return matrix
