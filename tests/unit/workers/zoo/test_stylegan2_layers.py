"""The layers of StyleGAN2 against slow loops in float64."""

import math

import numpy as np
import pytest
import torch

from workers.zoo import stylegan2_layers as layers
from workers.zoo.upfirdn import fir


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def slow_convolution(image, weight, padding):
    """[O, H', W'] of [I, H, W] by [O, I, K, K]: a correlation, sum by sum."""
    outputs, inputs, size, _ = weight.shape
    image = np.pad(image, [(0, 0), (padding, padding), (padding, padding)])
    height, width = image.shape[1] - size + 1, image.shape[2] - size + 1
    found = np.zeros((outputs, height, width))
    for o in range(outputs):
        for row in range(height):
            for column in range(width):
                for i in range(inputs):
                    window = image[i, row : row + size, column : column + size]
                    found[o, row, column] += (window * weight[o, i]).sum()
    return found


def modulated(weight, styles, demodulate):
    """Equations 1 and 3 of Karras et al. 2020, for one image."""
    found = np.zeros_like(weight)
    for o in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            found[o, i] = styles[i] * weight[o, i]
        if demodulate:
            found[o] /= math.sqrt((found[o] ** 2).sum() + 1e-8)
    return found


def slow_upsampling(image, weight, taps, before, after):
    """Each pixel stamps the kernel onto a map of twice the size, and the filter smooths the stamps."""
    outputs, inputs, size, _ = weight.shape
    _, height, width = image.shape
    stamped = np.zeros((outputs, 2 * height - 2 + size, 2 * width - 2 + size))
    for o in range(outputs):
        for i in range(inputs):
            for row in range(height):
                for column in range(width):
                    place = stamped[o, 2 * row : 2 * row + size, 2 * column : 2 * column + size]
                    place += image[i, row, column] * weight[o, i]
    kernel = 4 * np.outer(taps, taps) / np.sum(taps) ** 2
    turned = kernel[::-1, ::-1][None, None]
    stamped = np.pad(stamped, [(0, 0), (before, after), (before, after)])
    return np.stack([slow_convolution(one[None], turned, 0)[0] for one in stamped])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_is_each_image_with_its_own_weights(size, demodulate):
    maps, weight, styles = normal(3, 4, 5, 6), normal(2, 4, size, size), normal(3, 4)
    found = layers.modulated_convolution(
        torch.from_numpy(maps), torch.from_numpy(weight), torch.from_numpy(styles), demodulate=demodulate
    )
    for index in range(3):
        own = modulated(weight, styles[index], demodulate)
        np.testing.assert_allclose(found[index], slow_convolution(maps[index], own, size // 2), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("taps", "before", "after"), [([1, 3, 3, 1], 1, 1), ([1, 2, 4, 3], 1, 1), ([1, 2, 3], 1, 0), ([1, 2], 0, 0)]
)
def test_upsampling_convolution_stamps_kernels_and_smooths_them(taps, before, after):
    """The margins are those of the published networks: filter and kernel centred, of odd filters half a pixel off."""
    maps, weight, styles = normal(2, 3, 4, 5), normal(2, 3, 3, 3), normal(2, 3)
    found = layers.modulated_convolution(
        torch.from_numpy(maps), torch.from_numpy(weight), torch.from_numpy(styles), up=fir(taps)
    )
    assert found.shape == (2, 2, 8, 10)
    for index in range(2):
        expected = slow_upsampling(maps[index], modulated(weight, styles[index], True), taps, before, after)
        np.testing.assert_allclose(found[index], expected, rtol=1e-6, atol=1e-6)


def test_long_and_short_filters_keep_the_size_and_the_brightness():
    """A constant map under a kernel of ones, away from the margin: 9 kernels' worth over 4 stamps a pixel."""
    maps, weight = torch.ones(1, 1, 16, 16, dtype=torch.float64), torch.ones(1, 1, 3, 3, dtype=torch.float64)
    for taps in ([1, 1], [1, 3, 3, 1], [1, 3, 5, 5, 3, 1], [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]):
        found = layers.modulated_convolution(
            maps, weight, torch.ones(1, 1, dtype=torch.float64), demodulate=False, up=fir(taps)
        )
        assert found.shape == (1, 1, 32, 32)
        np.testing.assert_allclose(found[0, 0, 10:-10, 10:-10].mean(), 9, rtol=1e-6)
        np.testing.assert_allclose(found, found.flip(2, 3), rtol=1e-6)  # centred


def test_demodulated_outputs_have_unit_variance_and_survive_no_style():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 64, 40, 40, generator=generator)
    weight = torch.randn(8, 64, 3, 3, generator=generator) * 7
    found = layers.modulated_convolution(maps, weight, torch.rand(1, 64, generator=generator) * 5)
    assert found[0, :, 1:-1, 1:-1].square().mean().item() == pytest.approx(1, rel=0.05)
    nothing = layers.modulated_convolution(maps, weight, torch.zeros(1, 64))
    assert torch.equal(nothing, torch.zeros_like(nothing))


SLOW = {
    "linear": lambda x: x,
    "relu": lambda x: math.sqrt(2) * max(x, 0),
    "lrelu": lambda x: math.sqrt(2) * (x if x > 0 else 0.2 * x),
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "swish": lambda x: math.sqrt(2) * x / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("name", SLOW)
def test_activations_have_their_gain_and_clamp(name):
    values = torch.tensor([-3.0, -0.5, 0.0, 0.25, 2.0], dtype=torch.float64)
    expected = [SLOW[name](value.item()) for value in values]
    np.testing.assert_allclose(layers.activate(values, name), expected, rtol=1e-6)
    cut = [min(max(0.5 * value, -0.5 * 0.6), 0.5 * 0.6) for value in expected]
    np.testing.assert_allclose(layers.activate(values, name, gain=0.5, clamp=0.6), cut, rtol=1e-6)


def test_normalised_vectors_have_a_mean_square_of_1():
    vectors = normal(3, 7) * np.array([[1e-3], [1], [100]])
    expected = [row / math.sqrt((row**2).mean() + 1e-8) for row in vectors]
    np.testing.assert_allclose(layers.normalised(torch.from_numpy(vectors)), expected, rtol=1e-12)
