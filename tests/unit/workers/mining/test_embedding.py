"""Maps of planted sketches: what belongs together lies together, whatever there is of it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from workers.mining.embedding import _nearest, neighbourhoods, torch
from workers.mining.planar import lay_out

DIMENSIONS = 64


def embed(sketches: np.ndarray, seed: int = 0) -> np.ndarray:
    """A map float32 [U, 2], as the job makes it."""
    found = neighbourhoods(sketches, 15, seed=seed)
    if found.are_none:
        return found.start
    return lay_out(found.index, found.distance, found.start, min_dist=0.1, seed=seed)


def planted(clusters: int, members: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Sketches float16 [clusters * members, D] around a centre each, and whose they are; of any length."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(clusters, DIMENSIONS))
    cluster = np.repeat(np.arange(clusters), members)
    sketches = centres[cluster] + noise * rng.normal(size=(len(cluster), DIMENSIONS))
    return (sketches * rng.uniform(0.1, 3, (len(cluster), 1))).astype(np.float16), cluster


def test_planted_clusters_come_out_apart():
    sketches, cluster = planted(clusters=12, members=40)
    places = embed(sketches)
    assert places.shape == (480, 2)
    assert places.dtype == np.float32
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :10]
    assert (cluster[nearest] == cluster[:, None]).mean() > 0.99
    assert trustworthiness(sketches.astype(np.float64), places, n_neighbors=10, metric="cosine") > 0.9
    assert np.abs(places.mean(axis=0)).max() < 1e-4  # centred
    (wide, skewed), (_, high) = np.cov(places.T)
    assert wide > high  # and lying
    assert abs(skewed) < 1e-3 * wide


def test_the_same_again_is_the_same_map_and_another_seed_is_another():
    sketches, _ = planted(clusters=4, members=30)
    first = embed(sketches, seed=3)
    assert np.array_equal(first, embed(sketches, seed=3))
    assert not np.allclose(first, embed(sketches, seed=4))


@pytest.mark.parametrize("units", [0, 1, 2, 3, 4, 15, 16, 17])
def test_few_units_have_a_map_too(units):
    sketches = np.random.default_rng(0).normal(size=(units, DIMENSIONS)).astype(np.float16)
    places = embed(sketches)
    assert places.shape == (units, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == units


@pytest.mark.parametrize("kind", ["equal", "opposite"])
def test_units_that_are_all_alike_or_opposite(kind):
    sketches = np.tile(np.random.default_rng(0).normal(size=DIMENSIONS), (20, 1))
    if kind == "opposite":
        sketches[10:] *= -1
    places = embed(sketches.astype(np.float16))
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == 20


def test_neighbours_are_those_of_a_slow_search(monkeypatch):
    monkeypatch.setattr("workers.mining.embedding._BLOCK_NUMBERS", 700)  # several blocks, the last one smaller
    vectors = np.random.default_rng(0).normal(size=(100, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    told = []
    index, distance = _nearest(torch.from_numpy(vectors.astype(np.float32)), 6, told.append)
    expected = 1 - vectors @ vectors.T
    np.fill_diagonal(expected, -1)
    order = np.argsort(expected, axis=1)[:, :6]
    assert np.array_equal(index, order)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(distance, np.take_along_axis(expected, order, 1), atol=1e-6)
    assert told == [*range(7, 100, 7), 100]


def test_it_stops_where_it_is_told_to():
    def tell(done):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        neighbourhoods(planted(2, 10)[0], 5, seed=0, tell=tell)
