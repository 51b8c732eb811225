"""The low-pass filters of StyleGAN3 against their formulas, written out."""

from math import cos, factorial, pi, sin, sqrt

import numpy as np
import pytest

from workers.zoo.stylegan3_filters import lowpass

# Taps, cutoff, width and rate of layers of the published t at 1024 and 256 pixels.
PUBLISHED = [(12, 2.0, 12.0, 32), (24, 15.99, 22.6, 128), (12, 101.6, 308.9, 1024), (12, 512.0, 502.2, 2048)]


def bessel_i0(x):
    return sum((x / 2) ** (2 * k) / factorial(k) ** 2 for k in range(60))


def bessel_j1(x, steps=4000):
    """Bessel's integral, by the midpoint rule."""
    angles = (np.arange(steps) + 0.5) * pi / steps
    return np.cos(angles - x * np.sin(angles)).mean()


def slow(taps, cutoff, width, rate, radial):
    """The ideal filter of the band times Kaiser's window for the attenuation that so many taps reach."""
    attenuation = 2.285 * (taps - 1) * pi * width / (rate / 2) + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    middle = (taps - 1) / 2
    window = [bessel_i0(beta * sqrt(1 - ((n - middle) / middle) ** 2)) / bessel_i0(beta) for n in range(taps)]
    if not radial:
        places = [(n - middle) / rate for n in range(taps)]
        ideal = [2 * cutoff if x == 0 else sin(2 * pi * cutoff * x) / (pi * x) for x in places]
        kernel = np.array(ideal) * window
        return kernel / kernel.sum()
    kernel = np.zeros((taps, taps))
    for row in range(taps):
        for column in range(taps):
            r = sqrt((row - middle) ** 2 + (column - middle) ** 2) / rate
            ideal = cutoff * cutoff * pi if r == 0 else cutoff * bessel_j1(2 * pi * cutoff * r) / r
            kernel[row, column] = ideal * window[row] * window[column]
    return kernel / kernel.sum()


@pytest.mark.parametrize("band", [*PUBLISHED, (7, 3.0, 4.0, 16), (5, 3.0, 0.5, 16), (8, 1.0, 0.1, 16)])
@pytest.mark.parametrize("radial", [False, True])
def test_filters_are_their_formulas(band, radial):
    found = lowpass(*band, radial=radial)
    assert found.shape == (band[0],) * (2 if radial else 1)
    np.testing.assert_allclose(found.numpy(), slow(*band, radial), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("band", PUBLISHED)
def test_filters_are_those_of_scipy(band):
    signal = pytest.importorskip("scipy.signal")
    taps, cutoff, width, rate = band
    expected = signal.firwin(taps, cutoff, width=width, fs=rate)
    np.testing.assert_allclose(lowpass(*band).numpy(), expected.astype("float32"), rtol=1e-6, atol=1e-8)


def test_what_is_below_the_band_passes_and_what_is_above_does_not():
    taps, cutoff, width, rate = 64, 4.0, 3.0, 32
    kernel = lowpass(taps, cutoff, width, rate).double().numpy()

    def response(frequency):
        return sum(tap * cos(2 * pi * frequency / rate * (n - (taps - 1) / 2)) for n, tap in enumerate(kernel))

    assert response(0) == pytest.approx(1)
    assert response(cutoff - width / 2) == pytest.approx(1, abs=0.01)
    assert response(cutoff) == pytest.approx(0.5, abs=0.01)
    assert abs(response(cutoff + width / 2)) < 0.01


def test_a_radial_filter_is_alike_in_all_directions():
    kernel = lowpass(12, 2.0, 12.0, 32, radial=True)
    assert kernel.sum().item() == pytest.approx(1)
    for turned in (kernel.T, kernel.flip(0), kernel.rot90()):
        np.testing.assert_allclose(turned, kernel, atol=1e-8)
    line = lowpass(12, 2.0, 12.0, 32)
    assert (kernel - line.outer(line)).abs().max() > 1e-4


@pytest.mark.parametrize("radial", [False, True])
def test_one_tap_is_no_filter(radial):
    assert lowpass(1, 2.0, 12.0, 32, radial=radial) is None
