import pytest
import torch
from planted import eye, painter
from torch.nn import functional

from rosetta.errors import InvalidRequest
from workers.probes import GeneratorProbes
from workers.translation.effects import Effects, EffectSums, Watched, scores, thresholds
from workers.translation.interventions import Intervention
from workers.zoo import registry
from workers.zoo.base import Latents

UNITS = "units"
STD = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
ZEROS = [Intervention.zero(UNITS, unit) for unit in range(4)]


def latents(count=10):
    return Latents(torch.randn(count, 4, generator=torch.Generator().manual_seed(0)))


def effects_of(interventions, *batches, network=None, rows=32):
    watched = Watched(network or eye(), tuple((UNITS, unit) for unit in range(3)), STD)
    limits = torch.full((len(interventions),), 1e-6)
    sums = EffectSums(painter(), interventions, limits, watched, rows)
    for batch in batches:
        sums.update(batch)
    return sums


def test_a_unit_causes_what_sees_what_it_paints():
    effects = effects_of(ZEROS, latents()).result()
    assert effects.correlation[0, 0] == pytest.approx(1, abs=1e-4)  # the left half's unit, and its seer
    assert effects.correlation[1, 1] == pytest.approx(1, abs=1e-4)
    assert effects.correlation[0, 2] == pytest.approx(-1, abs=1e-4)
    assert effects.correlation[0, 1].isnan()  # whom the left half does not reach
    assert effects.correlation[3].isnan().all()  # it paints nothing
    assert not effects.size[3].any()


def test_sizes_are_those_of_what_was_painted():
    z = latents().values
    effects = effects_of(ZEROS, latents()).result()
    change = -0.05 * z[:, 0].abs() / 0.1
    assert effects.mean_change[0, 0] == pytest.approx(float(change.mean()) / 2, rel=1e-4)
    assert effects.size[0, 0] == pytest.approx(float(change.square().mean() / 2) ** 0.5, rel=1e-4)
    assert effects.inside[0, 0] == pytest.approx(float(0.05 * z[:, 0].abs().mean()), rel=1e-4)
    assert effects.outside[0, 0] == 0
    assert effects.inside[2, 0] == pytest.approx(float(0.05 * z[:, 2].abs().mean()) / 2, rel=1e-4)
    assert effects.outside[3].nan_to_num().eq(0).all()


def test_moments_are_those_of_the_resized_maps():
    """The watched network sees 16 x 12 pixels, and its answers are compared with the unit's at the larger grid."""
    network, batch = eye(), latents(4)
    network.module.masks = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    network = type(network)(**{**vars(network), "preprocessing": eye(16).preprocessing})
    boosted = Intervention.boost(UNITS, 2, 1.5, box=(1.0, 0.5, 5.5, 4.0))
    effects = effects_of([boosted], batch, network=network).result()

    generator = painter()
    maps = batch.values.abs()[:, :, None, None] * generator.module.masks
    cause = boosted.change(maps[:, 2], (8, 8))
    changed = maps.clone()
    changed[:, 2] += cause
    images = [(m * generator.module.colours).sum(1, keepdim=True) for m in (maps, changed)]

    def resized(x):
        return functional.interpolate(x, size=(16, 16), mode="bilinear", align_corners=False)

    seen = [resized(image).double() * network.module.masks.double() for image in images]
    x, y = (
        resized(cause[:, None]).double().flatten(),
        ((seen[1] - seen[0]) / STD[:, None, None]).transpose(0, 1).flatten(1),
    )
    expected = torch.stack([torch.corrcoef(torch.stack([x, row]))[0, 1] for row in y])
    torch.testing.assert_close(effects.correlation[0], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(effects.mean_change[0], y.mean(1), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(effects.size[0], y.square().mean(1).sqrt(), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(effects.response[0], expected * y.std(1, correction=0), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_any_split_gives_the_same(rows):
    z = latents().values
    boosts = [Intervention.boost(UNITS, unit, 2.0, box=(0, 0, 6, 5)) for unit in range(3)]
    whole = effects_of(boosts, Latents(z)).result()
    parts = effects_of(boosts, Latents(z[:3]), rows=rows).merge(
        effects_of(boosts, Latents(z[3:4]), Latents(z[4:]), rows=rows)
    )
    for name, values in vars(parts.result()).items():
        torch.testing.assert_close(values, getattr(whole, name), atol=1e-6, rtol=1e-5, equal_nan=True)


def test_what_changes_by_the_same_everywhere_correlates_with_nothing():
    everywhere = [Intervention.add(UNITS, 2, 0.3), Intervention.add(UNITS, 2, 0.3, box=(0, 0, 4, 8))]
    effects = effects_of(everywhere, latents()).result()
    assert effects.correlation[0].isnan().all()
    assert effects.response[0].isnan().all()
    assert effects.mean_change[0, 0] == pytest.approx(0.3 * 0.05 / 0.1 / 2, rel=1e-4)
    assert effects.correlation[1, 0] == pytest.approx(1, abs=1e-4)


def test_a_dead_watched_unit_is_never_scored():
    watched = Watched(eye(), ((UNITS, 0), (UNITS, 1)), torch.tensor([0.0, 1.0], dtype=torch.float64))
    sums = EffectSums(painter(), ZEROS[:2], torch.zeros(2), watched)
    sums.update(latents())
    effects = sums.result()
    assert effects.correlation[:, 0].isnan().all()
    assert effects.correlation[1, 1] == pytest.approx(1, abs=1e-4)


def test_a_unit_fires_above_its_quantile():
    batches = [Latents(latents().values[:4]), Latents(latents().values[4:])]
    found = thresholds(painter(), batches, ZEROS, 0.8)
    maps = latents().values.abs()[:, :, None, None] * painter().module.masks
    for unit, threshold in enumerate(found):
        assert (maps[:, unit] > threshold).float().mean() <= 0.2
        assert (maps[:, unit] >= threshold).float().mean() >= 0.2
    with pytest.raises(InvalidRequest, match="between 0 and 1"):
        thresholds(painter(), batches, ZEROS, 1.0)


def test_where_units_fire_is_asked_of_the_first_alone():
    whole = effects_of(ZEROS, latents()).result()
    watched = Watched(eye(), tuple((UNITS, unit) for unit in range(3)), STD)
    sums = EffectSums(painter(), ZEROS, torch.full((2,), 1e-6), watched)
    sums.update(latents())
    part = sums.result()
    assert part.inside.shape == (4, 2)
    torch.testing.assert_close(part.inside, whole.inside[:, :2], equal_nan=True)
    torch.testing.assert_close(part.outside, whole.outside[:, :2], equal_nan=True)


def test_scores_are_of_their_pair_beside_its_controls():
    generator = torch.Generator().manual_seed(0)
    effects = Effects(
        *(torch.rand(20, 3, generator=generator, dtype=torch.float64) for _ in range(4)),
        *(torch.rand(20, 20, generator=generator, dtype=torch.float64) for _ in range(2)),
    )
    effects.response[0, 1] = 9.0
    effects.response[1, 2] = 0.5
    others = {0: range(2, 20), 1: range(4, 14)}
    strong, weak = scores(effects, [(0, 1), (1, 2)], others)
    null = effects.response[2:, 1]
    assert strong.z == pytest.approx(float((9 - null.mean()) / null.std()))
    assert strong.q_value < 0.1 < weak.q_value
    assert (strong.correlation, strong.mean_change) == (effects.correlation[0, 1], effects.mean_change[0, 1])
    assert weak.control_size == pytest.approx(float(effects.size[4:14, 2].mean()))
    assert (weak.inside, weak.outside) == (effects.inside[1, 1], effects.outside[1, 1])
    assert weak.control_inside == pytest.approx(float(effects.inside[4:14, 1].mean()))
    assert (strong.controls, weak.controls) == (18, 10)
    assert scores(effects, [], {}) == []


def test_without_controls_there_is_no_z():
    effects = effects_of(ZEROS, latents()).result()
    (alone,) = scores(effects, [(0, 0)], {0: ()})
    assert alone.correlation == pytest.approx(1, abs=1e-4)
    assert alone.z != alone.z


@pytest.mark.slow
def test_in_the_demo_the_strongest_match_is_a_cause_too():
    """dcgan-faces 813 is main.8:45, and its best match is blocks.0:5 of EfficientNet-Lite0."""
    generator, network = registry.load("demo:dcgan-faces"), registry.load("demo:efficientnet-lite0")
    batch = GeneratorProbes(generator, 1, 4).latents(range(4))
    zeros = [Intervention.zero("main.8", channel) for channel in (45, 100, 3)]
    limits = thresholds(generator, [batch], zeros)
    sums = EffectSums(generator, zeros, limits, Watched(network, (("blocks.0", 5),), torch.ones(1).double()))
    sums.update(batch)
    effects = sums.result()
    assert effects.correlation[0, 0] > 0.7
    assert effects.correlation[1:, 0].abs().max() < 0.5
    assert effects.inside[0, 0] > 3 * effects.outside[0, 0]
