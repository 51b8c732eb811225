"""The layers of StyleGAN3 against slow arithmetic in float64, and their places among the signals."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import stylegan3_reference as slow
import torch
from stylegan3_files import REAL, Tiny

from workers.zoo.stylegan3_geometry import Layer, Signal, between, progression
from workers.zoo.stylegan3_layers import (
    AliasFreeLayer,
    Dense,
    FourierFeatures,
    filtered_leaky_relu,
    modulated_convolution,
)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def tensor(array):
    return None if array is None else torch.from_numpy(array)


FILTERS = {"none": None, "even": normal(4), "odd": normal(5), "plane": normal(3, 3)}


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (2, 3)])
@pytest.mark.parametrize("up_filter", FILTERS)
@pytest.mark.parametrize("down_filter", ["none", "even", "plane"])
@pytest.mark.parametrize("padding", [(0, 0), (5, 2), (-1, 4), (3, -2)])
def test_filtered_leaky_relu_is_its_steps(up, down, up_filter, down_filter, padding):
    maps, taps = normal(2, 2, 9, 9), (FILTERS[up_filter], FILTERS[down_filter])
    options = {"up": up, "down": down, "padding": padding, "gain": 1.7, "slope": 0.2, "clamp": 1.1}
    found = filtered_leaky_relu(tensor(maps), *map(tensor, taps), **options)
    expected = [[slow.filtered(one, *taps, *options.values()) for one in image] for image in maps]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("channels", [32, 33, 70])
def test_many_channels_keep_their_order(channels):
    """They are filtered some at a time."""
    maps, taps = normal(2, channels, 5, 5), (FILTERS["even"], FILTERS["plane"])
    options = {"up": 2, "down": 2, "padding": (4, 3), "gain": 1.7, "slope": 0.2, "clamp": 1.1}
    found = filtered_leaky_relu(tensor(maps), *map(tensor, taps), **options)
    expected = [[slow.filtered(one, *taps, *options.values()) for one in image] for image in maps]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_a_leaky_relu_is_cut_at_the_clamp_and_only_there():
    maps = torch.tensor([-9.0, -1, 0, 1, 9]).view(1, 1, 1, 5)
    options = {"up": 1, "down": 1, "padding": (0, 0), "gain": 2.0, "slope": 0.2}
    cut = filtered_leaky_relu(maps, None, None, clamp=3, **options)
    assert cut.flatten().tolist() == pytest.approx([-3, -0.4, 0, 2, 3])
    free = filtered_leaky_relu(maps, None, None, clamp=None, **options)
    assert free.flatten().tolist() == pytest.approx([-3.6, -0.4, 0, 2, 18])
    linear = filtered_leaky_relu(maps, None, None, clamp=None, **options | {"slope": 1})
    assert torch.equal(linear, maps * 2)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_is_each_image_with_its_own_weights(size, demodulate):
    maps, weight, styles = normal(3, 4, 5, 6), normal(2, 4, size, size), normal(3, 4)
    gain = torch.tensor(0.6, dtype=torch.float64)
    found = modulated_convolution(tensor(maps), tensor(weight), tensor(styles), gain, demodulate=demodulate)
    assert found.shape == (3, 2, 4 + size, 5 + size)
    for index in range(3):
        expected = slow.convolved(maps[index], weight, styles[index], 0.6, demodulate)
        np.testing.assert_allclose(found[index], expected, rtol=1e-10, atol=1e-12)


def test_demodulated_outputs_have_the_inputs_mean_square():
    maps, weight, styles = torch.randn(1, 64, 60, 60), torch.randn(4, 64, 3, 3) * 9, torch.rand(1, 64) + 0.5
    found = modulated_convolution(maps, weight, styles, torch.tensor(0.5), demodulate=True)[:, :, 2:-2, 2:-2]
    assert found.square().mean((0, 2, 3)).tolist() == pytest.approx([0.25] * 4, rel=0.1)


@pytest.mark.parametrize(("rate", "leaky"), [(1, False), (0.01, True)])
def test_dense_layers_multiply_the_gains_in(rate, leaky):
    layer = Dense(9, 4, rate=rate, leaky=leaky).double()
    vectors = torch.randn(3, 9, dtype=torch.float64)
    plain = (vectors @ layer.weight.T * rate / 3 + layer.bias * rate).detach().numpy()
    expected = slow.leaky(plain) * sqrt(2) if leaky else plain
    np.testing.assert_allclose(layer(vectors).detach().numpy(), expected, rtol=1e-12)


PLACEMENT = np.array([[0.8, -0.3, 0.1], [0.4, 1.2, -0.2], [0, 0, 1]])


@pytest.mark.parametrize("transform", [np.eye(3), PLACEMENT, PLACEMENT * [[3], [3], [1]]])
def test_fourier_features_are_waves_at_the_moved_places(transform):
    """With the last transform most frequencies are beyond the band, and fade."""
    signal = Signal(channels=8, size=10, rate=6, cutoff=1.5, half_width=1.5)
    features = FourierFeatures(signal, styles=3).double()
    drawn = {"freqs": normal(8, 2), "phases": normal(8), "transform": transform}
    for name, value in drawn.items():
        getattr(features, name).copy_(tensor(value))
    features.weight.data.copy_(tensor(normal(8, 8)))
    w = normal(2, 3)
    found = features(tensor(w)).detach().numpy()
    for index in range(2):
        affine = w[index] @ features.affine.weight.detach().numpy().T / sqrt(3) + features.affine.bias.detach().numpy()
        cos, sin, x, y = affine / np.hypot(*affine[:2])
        placement = [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]] @ np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        waves = slow.waves(drawn["freqs"], drawn["phases"], placement @ transform, 10, 6, 1.5)
        expected = np.tensordot(features.weight.detach().numpy() / sqrt(8), waves, 1)
        np.testing.assert_allclose(found[index], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("tiny", [Tiny(), Tiny(resolution=256, **REAL), Tiny(resolution=1024, **REAL)])
def test_the_signals_follow_the_papers_formulas(tiny):
    signals = progression(
        tiny.resolution,
        3,
        channel_base=tiny.base,
        channel_max=tiny.most,
        num_layers=tiny.layers,
        num_critical=tiny.critical,
        margin_size=tiny.margin,
    )
    layers = between(signals, tiny.critical)
    assert list(layers) == list(tiny.places)
    for layer, place in zip(layers.values(), tiny.places.values(), strict=True):
        assert (layer.colours, layer.critical) == (place.is_torgb, place.is_critically_sampled)
        for side, signal in (("in", layer.before), ("out", layer.after)):
            assert signal.channels == getattr(place, f"{side}_channels")
            assert (signal.size, signal.rate) == (
                getattr(place, f"{side}_size"),
                getattr(place, f"{side}_sampling_rate"),
            )
            assert signal.cutoff == pytest.approx(getattr(place, f"{side}_cutoff"), rel=1e-12)
            assert signal.half_width == pytest.approx(getattr(place, f"{side}_half_width"), rel=1e-12)
        assert (layer.up_taps, layer.down_taps) == tiny.taps(place)
    assert all(before.cutoff <= after.cutoff for before, after in pairwise(signals))


@pytest.mark.parametrize("rates", [(16, 16), (16, 32), (16, 64), (32, 16)])
@pytest.mark.parametrize("margins", [(0, 0), (10, 10), (10, 0), (0, 3)])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("oversampling", [1, 2, 4])
def test_a_layer_fills_its_canvas_and_keeps_its_middle(rates, margins, kernel, oversampling):
    """A wave of one turn, shown to a layer, comes out where it went in: not one of the finest samples aside."""
    before, after = (
        Signal(1, rate + 2 * margin, rate, cutoff=4.0, half_width=2.0)
        for rate, margin in zip(rates, margins, strict=True)
    )
    place = Layer(before, after, kernel=kernel, filter_size=8, oversampling=oversampling)
    layer = AliasFreeLayer(place, styles=1).double()
    layer.weight.data[:, :, kernel // 2, kernel // 2] = 1
    layer.bias.data.fill_(100)  # far from the kink, so that the layer is linear

    def wave(signal):
        places = (torch.arange(signal.size, dtype=torch.float64) + 0.5 - signal.size / 2) / signal.rate
        return torch.sin(2 * torch.pi * (places[:, None] + 0.3)) * torch.cos(2 * torch.pi * (places - 0.1))

    with torch.inference_mode():
        flat = layer(torch.zeros(1, 1, before.size, before.size, dtype=torch.float64), torch.ones(1, 1).double())
        found = layer(wave(before)[None, None], torch.ones(1, 1).double()) - flat
    assert found.shape == (1, 1, after.size, after.size)
    middle = slice(after.size // 2 - after.rate // 8, after.size // 2 + after.rate // 8)
    found, expected = found[0, 0, middle, middle], wave(after)[middle, middle]
    gain = (found * expected).sum() / expected.square().sum()
    assert abs(gain) == pytest.approx(sqrt(2), rel=0.1)
    np.testing.assert_allclose(found / gain, expected, atol=0.25 * torch.pi / place.rate)
