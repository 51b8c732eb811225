"""Concepts: communities of units of several models that are each other's best matches.

The graph has an edge for every significant pair of best buddies (each among the other's k best), weighted by r. With
k = 1 it would be too thin: a set of units in four models has six pairs, of which most are second or third best. Its
communities are those of Leiden (Traag, Waltman & van Eck 2019) under the constant Potts model (Traag, Van Dooren &
Nesterov 2011): units belong together where the mean r among them, absent edges counted as 0, exceeds the resolution.
Unlike modularity it has no resolution limit, so a concept does not change because a zoo grows elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import graspologic_native
import numpy as np
import numpy.typing as npt

RESOLUTION = 0.2
SEEDS = 10  # runs that the first is held against, for stability
_ITERATIONS = 4

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Concepts:
    """Concepts, those of most models first, then by cohesion.

    Attributes:
        concept: int64 [U], each unit's concept from 0; -1: of none.
        strength: float64 [U], mean r of the unit with the others of its concept that it is best buddies with; NaN
            outside.
        models: int64 [C], how many models it spans.
        cohesion: float64 [C], mean r of its edges.
        stability: float64 [C], in [0, 1]: mean over other seeds of the largest Jaccard index with a community there.
    """

    concept: Integers
    strength: Floats
    models: Integers
    cohesion: Floats
    stability: Floats


def find_concepts(
    first: Integers,
    second: Integers,
    weight: Floats,
    model: Integers,
    *,
    seed: int = 0,
    resolution: float = RESOLUTION,
    seeds: int = SEEDS,
) -> Concepts:
    """The concepts of a graph of best buddies.

    Args:
        first, second: int64 [E], the units of each edge, numbered from 0 over all models; no edge twice, none within
            a model.
        weight: float64 [E], r; edges at 0 or below are left out.
        model: int64 [U], the model of each unit.
        seed: of the communities; the stability takes the `seeds` ones after it.
        resolution: the least mean r inside a concept.
        seeds: how many other seeds the stability is taken over.
    """
    kept = weight > 0
    first, second, weight = first[kept], second[kept], weight[kept]
    # Units without an edge are in no concept, and most have none.
    nodes, ends = np.unique(np.concatenate([first, second]), return_inverse=True)
    graph = _Graph(ends[: len(first)], ends[len(first) :], weight, len(nodes))
    communities = [graph.communities(resolution, seed + run) for run in range(1 + seeds)]
    found = _describe(graph, communities, model[nodes])
    concept, strength = np.full(len(model), -1, np.int64), np.full(len(model), np.nan)
    concept[nodes], strength[nodes] = found.concept, found.strength
    return replace(found, concept=concept, strength=strength)


class _Graph:
    """Units with edges, and how Leiden parts them."""

    def __init__(self, first: Integers, second: Integers, weight: Floats, nodes: int) -> None:
        self.first, self.second, self.weight, self.nodes = first, second, weight, nodes
        rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
        order = np.lexsort((columns, rows))  # symmetric, in compressed rows
        self._starts = np.zeros(nodes + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=nodes), out=self._starts[1:])
        self._columns = columns[order].astype(np.int32)
        self._weights = np.concatenate([weight, weight])[order].astype(np.float64)

    def communities(self, resolution: float, seed: int) -> Integers:
        """The community of each node, int64 [nodes]."""
        if not self.nodes:
            return np.empty(0, np.int64)
        _, found = graspologic_native.leiden_csr(
            self._starts,
            self._columns,
            self._weights,
            self.nodes,
            resolution=resolution,
            iterations=_ITERATIONS,
            use_modularity=False,
            seed=seed,
        )
        return np.fromiter((found[node] for node in range(self.nodes)), np.int64, self.nodes)


def _describe(graph: _Graph, communities: list[Integers], model: Integers) -> Concepts:
    """The communities of the first run that hold an edge, measured, in the order of `Concepts`."""
    main, *others = communities
    count = int(main.max(initial=-1)) + 1
    inside = main[graph.first] == main[graph.second]
    of_edge, weight = main[graph.first][inside], graph.weight[inside]
    edges = np.bincount(of_edge, minlength=count)
    cohesion = np.bincount(of_edge, weight, minlength=count) / np.maximum(edges, 1)
    pairs = np.unique(np.stack([main, model]), axis=1) if graph.nodes else np.empty((2, 0), np.int64)
    models = np.bincount(pairs[0], minlength=count)
    stability = np.mean([_agreement(main, other, count) for other in others] or [np.ones(count)], axis=0)
    order = np.lexsort((np.arange(count), -cohesion, -models))
    order = order[edges[order] > 0]
    number = np.full(count + 1, -1, np.int64)
    number[order] = np.arange(len(order))
    return Concepts(number[main], _strength(graph, inside), models[order], cohesion[order], stability[order])


def _strength(graph: _Graph, inside: npt.NDArray[np.bool_]) -> Floats:
    """The mean weight of each node's edges inside its community; NaN where it has none."""
    ends = np.concatenate([graph.first[inside], graph.second[inside]])
    weight = np.concatenate([graph.weight[inside]] * 2)
    degree = np.bincount(ends, minlength=graph.nodes)
    total = np.bincount(ends, weight, minlength=graph.nodes)
    return np.divide(total, degree, out=np.full(graph.nodes, np.nan), where=degree > 0)


def _agreement(main: Integers, other: Integers, count: int) -> Floats:
    """For each community of `main`, the largest Jaccard index with one of `other`."""
    cells, shared = np.unique(np.stack([main, other]), axis=1, return_counts=True)
    sizes, other_sizes = np.bincount(main, minlength=count), np.bincount(other)
    jaccard = shared / (sizes[cells[0]] + other_sizes[cells[1]] - shared)
    best = np.zeros(count)
    np.maximum.at(best, cells[0], jaccard)
    return best
