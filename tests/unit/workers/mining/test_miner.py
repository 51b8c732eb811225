"""The engine as a whole, against brute force, planted truth and chance."""

import math

import pytest
import torch
from torch import nn

from tests.mining import correlations, mine
from tests.reference import pearson_layers
from workers.mining.errors import NonFiniteError, ShapeError
from workers.mining.plan import SCRATCH_BYTES


def smooth(images, channels, height, width, *, seed, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(images, channels, 5, 6, generator=generator)
    maps = nn.functional.interpolate(base, size=(height, width), mode="bilinear")
    return (maps + 0.2 * torch.randn(maps.shape, generator=generator)).relu() * 3 + offset


@pytest.fixture(scope="module")
def models():
    """Non-square grids, non-integer ratios, one larger in height and the other in width, 1x1 maps, large offsets."""
    first = {
        "a": smooth(23, 5, 4, 9, seed=1, offset=1000),
        "b": smooth(23, 7, 1, 1, seed=2),
        "c": smooth(23, 6, 13, 5, seed=3),
        "d": smooth(23, 3, 4, 9, seed=4),
    }
    first["c"][:, 2] = 1.2345  # dead
    second = {
        "x": smooth(23, 8, 7, 7, seed=5, offset=-500),
        "y": smooth(23, 4, 20, 3, seed=6),
        "z": smooth(23, 5, 1, 1, seed=7),
    }
    return {"first": first, "second": second, "third": {"x": smooth(23, 8, 14, 14, seed=8)}}


@pytest.mark.parametrize("batch", [1, 4, 23])
def test_r_equals_brute_force(models, batch):
    miner = mine(models, batch=batch, keep=100)
    names = list(models)
    for a, b in miner.pairs:
        expected = pearson_layers(list(models[names[a]].values()), list(models[names[b]].values()))
        found = correlations(miner, a, b)
        dead = torch.outer(miner.profile(a).dead, ~miner.profile(b).dead) | miner.profile(b).dead
        assert torch.equal(found.isnan(), dead)
        assert (found - expected)[~dead].abs().max() < 1e-5
    assert miner.profile(0).dead.nonzero().flatten().tolist() == [5 + 7 + 2]
    assert miner.profile(0).sketches.isnan().any(1).nonzero().flatten().tolist() == [14]


def test_unit_statistics(models):
    miner = mine(models)
    profile = miner.profile(0)
    maps = models["first"]["d"].double().permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(profile.mean[-3:], maps.mean(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(profile.std[-3:], maps.std(1, correction=0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(profile.maximum[-3:], maps.amax(1), rtol=1e-5, atol=1e-5)


def test_a_small_budget_takes_several_passes_and_finds_the_same(models):
    models = {**models, "wide": {"w": smooth(23, 400, 1, 1, seed=9)}}
    whole = mine(models, keep=6)
    small = mine(models, keep=6, batch=3, budget=SCRATCH_BYTES + 6_000_000)
    assert len(whole.passes) == 1
    assert len(small.passes) > 1
    for pair in whole.pairs:
        a, b = whole.pair(*pair), small.pair(*pair)
        for x, y in ((a.forward, b.forward), (a.backward, b.backward)):
            torch.testing.assert_close(
                x.neighbours.correlation, y.neighbours.correlation, atol=1e-5, rtol=0, equal_nan=True
            )
            assert torch.equal(x.neighbours.index, y.neighbours.index)
            assert torch.equal(x.reciprocal_rank, y.reciprocal_rank)
            torch.testing.assert_close(x.q_value, y.q_value, equal_nan=True)
        assert (a.best_buddies, a.significant_best_buddies, a.chance_best_buddies) == (
            b.best_buddies,
            b.significant_best_buddies,
            b.chance_best_buddies,
        )
    for place in range(3):
        torch.testing.assert_close(
            whole.profile(place).sketches, small.profile(place).sketches, atol=1e-3, rtol=0, equal_nan=True
        )


def test_copied_scaled_shifted_permuted_units_are_all_best_buddies():
    generator = torch.Generator().manual_seed(11)
    a = {"l1": smooth(40, 30, 8, 8, seed=12), "l2": smooth(40, 20, 4, 4, seed=13)}
    units = 50
    place = torch.randperm(units, generator=generator)
    scale = torch.rand(units, generator=generator) * 10 + 0.1
    shift = torch.randn(units, generator=generator) * 100
    maps = [*a["l1"].unbind(1), *a["l2"].unbind(1)]
    copies = {f"u{n}": (maps[old] * scale[n] + shift[n])[:, None] for n, old in enumerate(place.tolist())}
    pair = mine({"a": a, "b": copies}).pair(0, 1)
    assert pair.best_buddies == pair.significant_best_buddies == units
    assert torch.equal(pair.forward.neighbours.index[place, 0], torch.arange(units))
    assert (pair.forward.neighbours.correlation[:, 0] > 0.9999).all()
    assert (pair.forward.q_value[:, 0] < 0.01).all()
    assert pair.chance_best_buddies < units / 2


def conv_maps(images, seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 32, 5, 2, 2), nn.ReLU(), nn.Conv2d(32, 48, 3, 2, 1), nn.ReLU())
    with torch.no_grad():
        early = network[:2](images)
        return {"1": early, "3": network[2:](early)}


def test_a_model_fed_other_images_shows_no_more_best_buddies_than_the_level():
    generator = torch.Generator().manual_seed(5)

    def images():
        base = torch.randn(48, 3, 4, 4, generator=generator) + torch.randn(48, 1, 1, 1, generator=generator)
        return nn.functional.interpolate(base, size=(24, 24), mode="bilinear")

    found, significant = 0, 0
    for seed in range(12):
        pair = mine(
            {"a": conv_maps(images(), seed), "b": conv_maps(images(), 100 + seed)},
            sketch=False,
            probe_digest=f"p{seed}",
        ).pair(0, 1)
        found += pair.best_buddies
        significant += pair.significant_best_buddies
    assert found > 100
    assert significant <= 0.05 * found
    same = images()
    assert (
        mine({"a": conv_maps(same, 1), "b": conv_maps(same, 2)}, sketch=False).pair(0, 1).significant_best_buddies > 0
    )


def test_a_nan_names_model_layer_and_image(models):
    broken = {name: {layer: maps.clone() for layer, maps in of.items()} for name, of in models.items()}
    broken["second"]["y"][17, 2, 3, 1] = torch.nan
    with pytest.raises(NonFiniteError, match=r"model second, layer y: .* on image 17"):
        mine(broken, batch=5)
    broken["second"]["y"][17] = 1
    broken["first"]["d"][int(mine(models).order[0]), 1, 0, 0] = torch.inf  # also on the very first image
    with pytest.raises(NonFiniteError, match="model first, layer d"):
        mine(broken, batch=5)


def test_maps_of_another_shape_are_refused(models):
    miner = mine(models)
    running = miner.start(miner.passes[0])
    with pytest.raises(ShapeError, match=r"first/a gave \[1, 5, 4, 8\], expected \[N, 5, 4, 9\]"):
        running.write(0, "a", torch.zeros(1, 5, 4, 8))


def test_one_image_is_too_few(models):
    one = {name: {layer: maps[:1] for layer, maps in of.items()} for name, of in models.items()}
    with pytest.raises(ValueError, match="at least 2 images"):
        mine(one)


def test_without_a_null_r_is_the_same_and_nothing_is_judged(models):
    judged, plain = mine(models, keep=4), mine(models, keep=4, permutations=0, sketch=False)
    assert plain.permutations == 0
    for pair in judged.pairs:
        a, b = judged.pair(*pair), plain.pair(*pair)
        for x, y in ((a.forward, b.forward), (a.backward, b.backward)):
            assert torch.equal(x.neighbours.index, y.neighbours.index)
            torch.testing.assert_close(x.neighbours.correlation, y.neighbours.correlation, equal_nan=True)
            assert torch.equal(x.reciprocal_rank, y.reciprocal_rank)
            assert y.q_value.shape == x.q_value.shape
            assert y.q_value.isnan().all()
        assert (b.best_buddies, b.significant_best_buddies) == (a.best_buddies, 0)
        assert a.best_buddies > 0
        assert math.isnan(b.chance_best_buddies)
        assert not math.isnan(a.chance_best_buddies)
