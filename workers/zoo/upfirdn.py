"""Resampling of maps by a FIR filter: insert zeros, pad, convolve, thin out (Crochiere & Rabiner 1983, chapter 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

# Filters with as many taps are applied along one axis at a time; StyleGAN's files say so by their dimensions.
_SEPARABLE_TAPS = 8


def fir(taps: Sequence[float] | Sequence[Sequence[float]] | Tensor) -> Tensor:
    """The low-pass filter of those taps, its sum 1, float32.

    Args:
        taps: [T], or [H, W].

    Returns:
        [H, W]; of 8 and more taps along one axis [T], to be applied along both.
    """
    kernel = torch.as_tensor(taps, dtype=torch.float32)
    if kernel.ndim == 1 and len(kernel) < _SEPARABLE_TAPS:
        kernel = kernel.outer(kernel)
    return kernel / kernel.sum()


def upfirdn2d(
    maps: Tensor,
    kernel: Tensor | None,
    up: int = 1,
    down: int = 1,
    padding: int | tuple[int, int, int, int] = 0,
    gain: float = 1,
    flip: bool = False,
) -> Tensor:
    """Maps with zeros inserted, padded, convolved, and thinned out, in that order.

    Args:
        maps: [N, C, H, W].
        kernel: [FH, FW], or [T] for both axes, any float; None: no filter.
        up: each pixel is followed by up - 1 zeros along both axes.
        down: every down-th pixel is kept, beginning with the first.
        padding: zeros around the maps that were spread by `up`: left, right, top, bottom; negative: cut away.
        gain: that the result is multiplied by.
        flip: correlate instead of convolve.

    Returns:
        [N, C, (up H + top + bottom - FH) // down + 1, likewise], of the maps' type.
    """
    if kernel is None:
        kernel = maps.new_ones(1, 1)
    kernel = kernel.to(maps.dtype) * gain ** (kernel.ndim / 2)
    if not flip:
        kernel = kernel.flip(tuple(range(kernel.ndim)))
    left, right, top, bottom = (padding,) * 4 if isinstance(padding, int) else padding
    if kernel.ndim == 2:
        return _resample(maps, kernel, (up, up), (down, down), (left, right, top, bottom))
    maps = _resample(maps, kernel[None, :], (1, up), (1, down), (left, right, 0, 0))
    return _resample(maps, kernel[:, None], (up, 1), (down, 1), (0, 0, top, bottom))


def upsample(maps: Tensor, kernel: Tensor, factor: int = 2) -> Tensor:
    """Maps `factor` times as large, centred, at the same brightness: [N, C, factor H, factor W]."""
    left, right = _margins(kernel.shape[-1], factor)
    top, bottom = _margins(kernel.shape[0], factor)
    return upfirdn2d(maps, kernel, up=factor, padding=(left, right, top, bottom), gain=factor**2)


def _margins(taps: int, factor: int) -> tuple[int, int]:
    return (taps + factor - 1) // 2, (taps - factor) // 2


def _resample(
    maps: Tensor, kernel: Tensor, up: tuple[int, int], down: tuple[int, int], padding: tuple[int, int, int, int]
) -> Tensor:
    """One pass with a correlation kernel [FH, FW]; factors are (rows, columns)."""
    if up != (1, 1):
        channels, (rows, columns) = maps.shape[:2], maps.shape[2:]
        spread = maps.new_zeros(*channels, rows * up[0], columns * up[1])
        spread[:, :, :: up[0], :: up[1]] = maps
        maps = spread
    if any(padding):
        maps = F.pad(maps, padding)
    if kernel.shape == (1, 1):
        return maps[:, :, :: down[0], :: down[1]] * kernel[0, 0]
    depth = maps.shape[1]
    return F.conv2d(maps, kernel.expand(depth, 1, *kernel.shape), stride=down, groups=depth)
