"""Concepts: communities of best buddies."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch.nn import functional

from service.submit_cluster import K
from tests.mining import mine
from workers.mining.concepts import find_concepts


def graph(edges, model, **options):
    first, second, weight = (np.array(column) for column in zip(*edges, strict=True)) if edges else (np.empty(0),) * 3
    return find_concepts(
        first.astype(np.int64), second.astype(np.int64), weight.astype(np.float64), np.array(model), **options
    )


def clique(nodes, r):
    return [(a, b, r) for a, b in combinations(nodes, 2)]


def test_two_cliques_and_the_weak_edge_between_them():
    found = graph([*clique([0, 1, 2], 0.5), *clique([3, 4], 0.9), (2, 3, 0.3)], [0, 1, 2, 0, 1])
    assert found.concept.tolist() == [0, 0, 0, 1, 1]  # of three models first
    assert found.models.tolist() == [3, 2]
    assert found.cohesion == pytest.approx([0.5, 0.9])
    assert found.strength == pytest.approx([0.5, 0.5, 0.5, 0.9, 0.9])
    assert found.stability == pytest.approx([1, 1])


def test_below_the_resolution_units_do_not_belong_together():
    edges = [(0, 1, 0.19), (2, 3, 0.21)]
    assert graph(edges, [0, 1, 0, 1]).concept.tolist() == [-1, -1, 0, 0]
    assert graph(edges, [0, 1, 0, 1], resolution=0.1).concept.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("edges", [[], [(0, 1, -0.5)], [(0, 1, 0.0)]])
def test_without_edges_there_are_no_concepts(edges):
    found = graph(edges, [0, 1, 2])
    assert found.concept.tolist() == [-1, -1, -1]
    assert np.isnan(found.strength).all()
    assert len(found.models) == len(found.cohesion) == len(found.stability) == 0


def test_a_seed_gives_the_same_and_a_concept_does_not_change_because_the_zoo_grows_elsewhere():
    generator = np.random.default_rng(0)
    edges = [(a, 40 + b, r) for a, b, r in zip(range(40), generator.permutation(40), generator.random(40), strict=True)]
    edges += [
        (a, 80 + b, r) for a, b, r in zip(range(40), generator.permutation(40), generator.random(40), strict=True)
    ]
    model = np.repeat([0, 1, 2], 40)
    one, same = graph(edges, model, seed=3), graph(edges, model, seed=3)
    assert one.concept.tolist() == same.concept.tolist()
    more = [*edges, *((120 + a, 160 + a, 0.8) for a in range(40))]
    grown = graph(more, np.repeat([0, 1, 2, 3, 4], 40), seed=3)
    assert members(grown, 120) == members(one, 120)


def members(found, units):
    return {tuple(np.flatnonzero(found.concept[:units] == number)) for number in set(found.concept[:units]) - {-1}}


def test_an_unstable_concept_says_so():
    """A ring whose edges are all alike can be cut anywhere."""
    nodes = range(12)
    found = graph([(a, (a + 1) % 12, 0.5) for a in nodes], [a % 2 for a in nodes], resolution=0.3, seeds=20)
    assert found.stability.min() < 0.9


def planted(seed, images=100, planted_units=50, noise_units=1000):
    """Three networks: the same units in each, permuted, scaled and shifted, and as many of noise beside them."""
    generator = torch.Generator().manual_seed(seed)

    def smooth(units):
        return functional.avg_pool2d(torch.randn(images, units, 9, 9, generator=generator), 3, 1)

    truth = smooth(planted_units)
    networks, label = {}, []
    for name in "abc":
        order = torch.randperm(planted_units, generator=generator)
        scale, shift = torch.rand(2, planted_units, 1, 1, generator=generator)
        copies = truth[:, order] * (scale + 0.1) + 5 * shift
        networks[name] = {"x": torch.cat([copies, smooth(noise_units)], 1)}
        label += [*order.tolist(), *[-1] * noise_units]
    return networks, np.array(label)


def significant_edges(miner, k, q=0.05):
    """Best buddies among each other's k best with q below, over all pairs, units numbered through the models."""
    start = np.cumsum([0, *(model.units for model in miner.models)])
    for a, b in miner.pairs:
        pair = miner.pair(a, b)
        there, back = pair.forward, pair.backward
        for unit, rank in product(range(miner.models[a].units), range(k)):
            other = int(there.neighbours.index[unit, rank])
            reciprocal = int(there.reciprocal_rank[unit, rank])
            if other < 0 or not 1 <= reciprocal <= k:
                continue
            if max(there.q_value[unit, rank], back.q_value[other, reciprocal - 1]) < q:
                yield start[a] + unit, start[b] + other, float(there.neighbours.correlation[unit, rank])


@pytest.mark.parametrize("k", [1, K, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_concepts_come_back_and_noise_is_in_none(seed, k):
    networks, label = planted(seed)
    miner = mine(networks, keep=k)
    found = graph(list(significant_edges(miner, k)), np.repeat([0, 1, 2], 1050))
    assert (found.concept[label < 0] == -1).all()
    assert adjusted_rand(found.concept[label >= 0], label[label >= 0]) == 1.0
    assert found.models.tolist() == [3] * 50
    assert found.stability == pytest.approx(1)


def adjusted_rand(a, b):
    """Hubert & Arabie 1985."""
    table = np.zeros((a.max() + 2, b.max() + 2))
    np.add.at(table, (a, b), 1)

    def choose(counts):
        return (counts * (counts - 1) / 2).sum()

    both, rows, columns = choose(table), choose(table.sum(1)), choose(table.sum(0))
    expected = rows * columns / choose(np.array([len(a)]))
    return (both - expected) / ((rows + columns) / 2 - expected)
