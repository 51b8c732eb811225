"""Low-pass filters of StyleGAN3 (Karras et al. 2021, "Alias-Free Generative Adversarial Networks", appendix C)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Taps = NDArray[np.float64]


def lowpass(taps: int, cutoff: float, width: float, rate: float, *, radial: bool = False) -> Tensor | None:
    """A filter that lets frequencies below the cutoff pass; its sum is 1.

    Args:
        taps: how many; with one there is nothing to filter.
        cutoff: f_c, where half of the amplitude passes, in the unit of `rate`.
        width: of the transition band, 2 f_h.
        rate: samples a unit.
        radial: alike in all directions instead of along each axis.

    Returns:
        Float32 [taps], to be applied along both axes; radial: [taps, taps]; of one tap None.
    """
    if taps == 1:
        return None
    places = np.arange(taps) - (taps - 1) / 2
    window = np.kaiser(taps, _shape(taps, width / (rate / 2)))
    if radial:
        kernel = _jinc(np.hypot(places[:, None], places), 2 * cutoff / rate) * np.outer(window, window)
    else:
        kernel = np.sinc(places * (2 * cutoff / rate)) * window
    return torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32)


def _shape(taps: int, width: float) -> float:
    """beta of a Kaiser window whose filter has that transition band, as a part of the Nyquist frequency (Kaiser 1974).

    The attenuation that so many taps can reach decides it.
    """
    attenuation = 2.285 * (taps - 1) * np.pi * width + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return float(0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21))
    return 0.0


def _jinc(radius: Taps, cutoff: float) -> Taps:
    """J1(pi c r) / (pi r), the ideal low-pass filter of a disc of frequencies; c is a part of the Nyquist frequency."""
    angle = torch.from_numpy(np.pi * radius)
    # The limit in the middle, which an odd number of taps has, is c / 2.
    at_zero = torch.full_like(angle, cutoff / 2)
    return torch.where(angle == 0, at_zero, torch.special.bessel_j1(cutoff * angle) / angle).numpy()
