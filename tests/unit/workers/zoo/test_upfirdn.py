"""Resampling against its definition, pixel by pixel in float64."""

import numpy as np
import pytest
import torch

from workers.zoo import upfirdn


def slow(image, kernel, up, down, padding, gain, flip):
    """One image [H, W]: zeros, padding, convolution, thinning, each as it is said."""
    rows, columns = image.shape
    spread = np.zeros((rows * up, columns * up))
    for row in range(rows):
        for column in range(columns):
            spread[row * up, column * up] = image[row, column]
    left, right, top, bottom = padding
    spread = np.pad(spread, [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))])
    height, width = spread.shape
    spread = spread[max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
    if kernel.ndim == 1:
        kernel = np.outer(kernel, kernel)
    taps_down, taps_across = kernel.shape
    filtered = np.zeros((spread.shape[0] - taps_down + 1, spread.shape[1] - taps_across + 1))
    for row in range(filtered.shape[0]):
        for column in range(filtered.shape[1]):
            for i in range(taps_down):
                for j in range(taps_across):
                    # A convolution turns the filter round: its first tap meets the last pixel.
                    pixel = (row + i, column + j) if flip else (row + taps_down - 1 - i, column + taps_across - 1 - j)
                    filtered[row, column] += kernel[i, j] * spread[pixel]
    return gain * filtered[::down, ::down]


KERNELS = {
    "uneven": np.array([[1.0, 2, 0], [3, -1, 5]]),
    "one tap": np.array([[2.0]]),
    "separable": np.array([1.0, 4, 2, -3]),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (2, 1, 3, 0), (-1, 2, 1, -2)])
@pytest.mark.parametrize("flip", [False, True])
def test_resampling_is_its_definition(kernel, up, down, padding, flip):
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    taps = KERNELS[kernel]
    expected = np.array([[slow(image, taps, up, down, padding, 2.5, flip) for image in maps] for maps in images])
    found = upfirdn.upfirdn2d(torch.from_numpy(images), torch.from_numpy(taps), up, down, padding, 2.5, flip)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_no_filter_and_one_padding_for_all_sides():
    images = torch.rand(1, 2, 3, 3, dtype=torch.float64)
    found = upfirdn.upfirdn2d(images, None, up=2, padding=1)
    assert found.shape == (1, 2, 8, 8)
    assert torch.equal(found[:, :, 1:-1:2, 1:-1:2], images)
    assert found.sum().isclose(images.sum())


@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1, 2, 3, 4, 4, 3, 2, 1]])
def test_filters_keep_brightness_and_upsampling_the_middle(taps):
    kernel = upfirdn.fir(taps)
    assert kernel.ndim == (1 if len(taps) >= 8 else 2)
    assert kernel.sum().item() == pytest.approx(1)
    full = kernel if kernel.ndim == 2 else kernel.outer(kernel)
    np.testing.assert_allclose(full.numpy(), np.outer(taps, taps) / np.sum(taps) ** 2, rtol=1e-6)
    large = upfirdn.upsample(torch.full((1, 1, 12, 12), 3.0), kernel)
    assert large.shape == (1, 1, 24, 24)
    np.testing.assert_allclose(large[0, 0, 8:-8, 8:-8], 3, rtol=1e-6)


def test_upsampling_by_1331_is_the_published_weights():
    """Each new pixel is 3/4 of the nearer and 1/4 of the farther old one, along both axes."""
    old = torch.tensor([[1.0, 5.0]]).expand(2, 2)[None, None]
    new = upfirdn.upsample(old, upfirdn.fir([1, 3, 3, 1]))
    assert new[0, 0, 1].tolist() == pytest.approx([0.75 * 1, 0.75 * 1 + 0.25 * 5, 0.25 * 1 + 0.75 * 5, 0.75 * 5])


def test_a_two_dimensional_filter_is_kept():
    kernel = upfirdn.fir([[1.0, 2], [3, 4]])
    np.testing.assert_allclose(kernel, np.array([[0.1, 0.2], [0.3, 0.4]]), rtol=1e-6)
