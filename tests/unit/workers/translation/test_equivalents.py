import math

import numpy as np
import pytest
import torch
from planted import painter
from torch.nn import functional

from rosetta.errors import InvalidRequest
from workers.mining.errors import NonFiniteError
from workers.mining.layout import LayerShape, ModelLayout
from workers.translation.equivalents import Partners, TranslationSums, held_out
from workers.translation.responses import Subject, unit_slices

IMAGES = 40
SOURCE = ModelLayout("source", (LayerShape("a", 3, 8, 8), LayerShape("b", 2, 4, 4)))
TARGET = ModelLayout("target", (LayerShape("x", 2, 4, 4), LayerShape("y", 2, 2, 2)))
TEST = held_out(IMAGES, 0.25, seed=0)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at(maps, side):
    """A map at a grid of its own, averaged where it is larger."""
    if maps.shape[-1] == side:
        return maps
    return functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def sources():
    return {"a": 3 * numbers(IMAGES, 3, 8, 8, seed=1) + 10, "b": numbers(IMAGES, 2, 4, 4, seed=2) - 1}


def targets(maps):
    """x:0 is linear in b:0 and a:1, x:1 only noise, y:0 is b:1 itself, y:1 is half of a:0 and half noise."""
    x = torch.cat([2 * maps["b"][:, :1] - at(maps["a"], 4)[:, 1:2] + 7, numbers(IMAGES, 1, 4, 4, seed=3)], 1)
    noise = numbers(IMAGES, 1, 2, 2, seed=4)
    half = at(maps["a"], 2)[:, :1]
    y = torch.cat([at(maps["b"], 2)[:, 1:], (half - half.mean()) / half.std() + noise / noise.std()], 1)
    return {"x": x, "y": y}


def subject(layout, maps):
    flat = [maps[layer.name].double().transpose(0, 1).flatten(1) for layer in layout.layers]
    mean, std = (torch.cat(parts) for parts in zip(*((f.mean(1), f.std(1)) for f in flat), strict=True))
    return Subject(painter(), layout, mean, std)


# x:0 from b:0 and a:1; x:1 from a:0 and a:2; y:0 from b:1 alone; y:1 from a:0 and a:1.
PARTNERS = Partners(
    torch.tensor([0, 1, 2, 3]),
    torch.tensor([[3, 1], [0, 2], [4, -1], [0, 1]]),
    torch.tensor([[0.6, -0.5], [0.1, 0.1], [1.0, math.nan], [0.5, 0.1]]),
)


@pytest.fixture(scope="module")
def models():
    maps = sources()
    told = targets(maps)
    return subject(SOURCE, maps), subject(TARGET, told), maps, told


def sums_of(models, *splits, partners=PARTNERS, pooled=False):
    source, target, maps, told = models
    sums = TranslationSums(source, target, partners, TEST, pooled=pooled)
    for split in splits or (range(IMAGES),):
        chosen = list(split)
        sums.update(chosen, {k: v[chosen] for k, v in maps.items()}, {k: v[chosen] for k, v in told.items()})
    return sums


def test_what_is_linear_in_its_matches_is_told_wholly_and_noise_not_at_all(models):
    found = sums_of(models).result(ridge=1e-9)
    explained = found.explained.ridge
    assert explained[0] == pytest.approx(1, abs=1e-5)
    assert abs(explained[1]) < 0.1
    assert explained[2] == pytest.approx(1, abs=1e-5)
    assert explained[3] == pytest.approx(0.5, abs=0.25)
    assert (found.explained.chance_ridge < 0.15).all()
    assert found.explained.ridge_total > 0.5 > 0.1 > found.explained.chance_ridge_total
    assert (found.images, found.held_out) == (30, 10)


def test_weights_and_what_they_explain_are_those_of_numpys_least_squares(models):
    source, target, maps, told = models
    found = sums_of(models).result(ridge=0.0)
    a = (at(maps["a"].double() - source.mean[:3, None, None], 2) / source.std[:3, None, None])[:, :2]
    y = (told["y"][:, 1].double() - target.mean[3]) / target.std[3]

    def rows(mask):
        return a[mask].transpose(0, 1).flatten(1).T.numpy(), y[mask].flatten().numpy()

    x_fit, y_fit = rows(~TEST)
    solution = np.linalg.lstsq(np.column_stack([x_fit, np.ones(len(x_fit))]), y_fit, rcond=None)[0]
    np.testing.assert_allclose(found.weights[3], solution[:2], atol=1e-5)
    np.testing.assert_allclose(found.intercept[3], solution[2], atol=1e-5)
    x_test, y_test = rows(TEST)
    spread = ((y_test - y_test.mean()) ** 2).sum()
    told_test = x_test @ solution[:2] + solution[2]
    assert float(found.explained.ridge[3]) == pytest.approx(1 - ((y_test - told_test) ** 2).sum() / spread, abs=1e-5)
    by_best = 1 - ((y_test - 0.5 * x_test[:, 0]) ** 2).sum() / spread
    assert float(found.explained.best[3]) == pytest.approx(by_best, abs=1e-5)


def test_chance_tells_each_image_from_the_one_of_its_side_before(models):
    source, target, maps, told = models
    before = {}
    pairs = []
    for position in range(IMAGES):
        side = bool(TEST[position])
        if side in before:
            pairs.append((before[side], position))
        before[side] = position
    first, second = (torch.tensor(column) for column in zip(*pairs, strict=True))
    b = (maps["b"][first, 1].double() - source.mean[4]) / source.std[4]
    x = at(b[:, None], 2).flatten(1)
    y = ((told["y"][second, 0].double() - target.mean[2]) / target.std[2]).flatten(1)
    tested = TEST[second]
    spread = (y[tested] - y[tested].mean()).square().sum()
    expected = 1 - (y[tested] - x[tested]).square().sum() / spread
    assert float(sums_of(models).result().explained.chance_best[2]) == pytest.approx(float(expected), abs=1e-5)


def test_chance_is_fitted_on_one_side_and_tested_on_the_other(models):
    """Each image's x:1 is the noise of the image visited before it, on the fitted side alone."""
    source, _, maps, told = models
    fitted = (~TEST).nonzero()[:, 0]
    copied = {**told, "x": told["x"].clone()}
    copied["x"][fitted[1:], 1] = at(maps["a"], 4)[fitted[:-1], 2]
    found = sums_of((source, subject(TARGET, copied), maps, copied)).result(ridge=1e-9)
    assert found.explained.chance_ridge[1] < 0
    assert found.explained.ridge[1] < 0.1


@pytest.mark.parametrize("pooled", [False, True])
def test_any_split_gives_the_same(models, pooled):
    whole = sums_of(models, pooled=pooled).result()
    parts = sums_of(models, range(1), range(1, 17), range(17, IMAGES), pooled=pooled).result()
    torch.testing.assert_close(parts.weights, whole.weights, atol=1e-6, rtol=1e-6)
    for name, values in vars(whole.explained).items():
        torch.testing.assert_close(getattr(parts.explained, name), values, atol=1e-6, rtol=1e-6)


def test_shards_merge_into_the_same_fit_and_test(models):
    whole = sums_of(models).result()
    merged = sums_of(models, range(20)).merge(sums_of(models, range(20, IMAGES))).result()
    torch.testing.assert_close(merged.weights, whole.weights, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(merged.explained.ridge, whole.explained.ridge, atol=1e-9, rtol=1e-9)
    assert (merged.images, merged.held_out) == (30, 10)


def test_told_maps_are_in_the_targets_own_activation(models):
    source, target, maps, told = models
    found = sums_of(models).result(ridge=1e-9)
    answer = found.apply(source, target, maps)
    assert {layer: units.tolist() for layer, (units, _) in answer.items()} == {"x": [0, 1], "y": [2, 3]}
    torch.testing.assert_close(answer["x"][1][:, 0], told["x"][:, 0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(answer["y"][1][:, 0], told["y"][:, 0], atol=1e-3, rtol=1e-3)
    _, best = found.apply(source, target, maps, "best")["x"]
    expected = target.mean[0] + target.std[0] * 0.6 * (maps["b"][:, 0].double() - source.mean[3]) / source.std[3]
    torch.testing.assert_close(best[:, 0].double(), expected, atol=1e-4, rtol=1e-4)


def test_means_over_positions_are_told_from_means(models):
    source, _, maps, told = models
    means = {layer: values.mean((2, 3), keepdim=True) for layer, values in maps.items()}
    x = 2 * means["b"][:, :1] - means["a"][:, 1:2] + 7 + 0 * told["x"][:, :1]
    told = {**told, "x": torch.cat([x, told["x"][:, 1:]], 1)}
    target = subject(TARGET, told)
    found = sums_of((source, target, maps, told), pooled=True).result(ridge=1e-9)
    assert found.explained.ridge[0] == pytest.approx(1, abs=1e-4)
    _, values = found.apply(source, target, means)["x"]
    assert values.shape == (IMAGES, 2, 1, 1)
    torch.testing.assert_close(values[:, 0], x[:, 0, :1, :1], atol=1e-3, rtol=1e-3)


def test_a_unit_without_a_match_is_left_out_and_without_any_there_is_nothing_to_tell(models):
    index = torch.tensor([[-1, -1], [0, 2], [4, -1], [-1, -1]])
    found = sums_of(models, partners=Partners(PARTNERS.units, index, PARTNERS.correlation)).result()
    assert found.partners.units.tolist() == [1, 2]
    with pytest.raises(InvalidRequest, match="share no such unit"):
        PARTNERS.among([])


def test_a_set_of_units_has_its_equivalents(models):
    some = PARTNERS.among([1, 4])
    assert some.units.tolist() == [0, 2, 3]
    assert some.index.tolist() == [[1, -1], [4, -1], [1, -1]]
    assert some.correlation[:, 0].tolist() == pytest.approx([-0.5, 1.0, 0.1])
    found = sums_of(models, partners=some).result()
    assert (found.weights[:, 1].abs() < 1e-12).all()
    assert found.explained.ridge[1] > 0.99 > 0.9 > found.explained.ridge[0] > 0.1


def test_only_the_layers_that_the_matches_are_in_are_needed(models):
    source, target, maps, told = models
    sums = TranslationSums(source, target, PARTNERS.among([4]), TEST)
    sums.update(range(IMAGES), {"b": maps["b"]}, {"y": told["y"]})
    translation = sums.result()
    assert list(translation.apply(source, target, {"b": maps["b"]})) == ["y"]
    with pytest.raises(InvalidRequest, match="layer 'b'"):
        translation.apply(source, target, {"a": maps["a"]})


def test_a_dead_unit_is_left_out(models):
    source, target, maps, told = models
    dead = Subject(target.network, TARGET, target.mean, target.std * torch.tensor([1, 0, 1, 1]))
    found = sums_of((source, dead, maps, told)).result()
    assert found.explained.ridge.isnan().tolist() == [False, True, False, False]
    assert math.isfinite(found.explained.ridge_total)
    _, values = found.apply(source, dead, maps)["x"]
    torch.testing.assert_close(values[:, 1].double(), target.mean[1].expand(IMAGES, 4, 4), atol=1e-6, rtol=0)


def test_not_a_number_names_the_image(models):
    source, target, maps, told = models
    broken = {**told, "x": told["x"].clone()}
    broken["x"][11, 0, 2, 2] = math.nan
    with pytest.raises(NonFiniteError, match=r"layer x.*image 11"):
        sums_of((source, target, maps, broken))


def test_what_cannot_be_tested_is_refused(models):
    with pytest.raises(InvalidRequest, match="tested on two or more"):
        sums_of(models, range(1)).result()
    with pytest.raises(InvalidRequest, match="a ridge"):
        sums_of(models).result(ridge=-1)
    for share in (0.0, 0.01, 1.0):
        with pytest.raises(InvalidRequest, match="leaves none"):
            held_out(IMAGES, share, 0)


def test_images_are_held_out_by_the_seed():
    assert int(TEST.sum()) == 10
    assert torch.equal(TEST, held_out(IMAGES, 0.25, 0))
    assert not torch.equal(TEST, held_out(IMAGES, 0.25, 1))


def test_units_are_numbered_through_the_layers():
    assert unit_slices(SOURCE) == {"a": slice(0, 3), "b": slice(3, 5)}
    assert subject(SOURCE, sources()).place(4) == ("b", 1)
