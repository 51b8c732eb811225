"""The layers of StyleGAN3 (Karras et al. 2021, "Alias-Free Generative Adversarial Networks").

Weights are kept as the files have them; the gains of the equalized learning rate (Karras et al. 2018, section 4.1)
are multiplied in when a layer runs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from workers.zoo.stylegan3_filters import lowpass
from workers.zoo.stylegan3_geometry import Layer, Signal
from workers.zoo.upfirdn import upfirdn2d

_EPSILON = 1e-8
_SLOPE = 0.2
_TWICE = math.sqrt(2)  # restores the variance that half of a normal distribution loses
# Channels whose non-linearity is in memory at once: at the higher rate, a map has up to 16 times as many samples.
_AT_ONCE = 32


class Dense(nn.Linear):
    """A fully connected layer with an equalized learning rate, and a leaky ReLU where it has one."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1, leaky: bool = False) -> None:
        """Rate: of learning, as a multiple of the other layers'."""
        super().__init__(inputs, outputs)
        self.rate, self.leaky = rate, leaky

    def forward(self, vectors: Tensor) -> Tensor:
        """[N, outputs] of [N, inputs]."""
        weight = self.weight * (self.rate / math.sqrt(self.in_features))
        vectors = F.linear(vectors, weight, self.bias * self.rate)
        return F.leaky_relu(vectors, _SLOPE) * _TWICE if self.leaky else vectors


def modulated_convolution(maps: Tensor, weight: Tensor, styles: Tensor, gain: Tensor, *, demodulate: bool) -> Tensor:
    """A convolution whose weights are each image's own, over all places that the kernel touches (Karras et al. 2020).

    The maps are scaled instead of the weights, before and after: it is the same sum, and all images share one
    convolution. Styles are brought to a mean square of 1 for each image on its own, so that an image does not depend
    on its batch; it matters beside the 1e-8 only.

    Args:
        maps: [N, I, H, W].
        weight: [O, I, K, K].
        styles: s, [N, I].
        gain: that the maps are multiplied by, a number.
        demodulate: divide each output by the norm of its weights, sqrt(sum (s w)^2).

    Returns:
        [N, O, H + K - 1, W + K - 1].
    """
    if demodulate:
        weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        styles = styles * styles.square().mean(1, keepdim=True).rsqrt()
    maps = F.conv2d(maps * (styles * gain)[:, :, None, None], weight, padding=weight.shape[-1] - 1)
    if demodulate:
        energies = styles.square() @ weight.square().sum((2, 3)).T
        maps = maps * (energies + _EPSILON).rsqrt()[:, :, None, None]
    return maps


def filtered_leaky_relu(
    maps: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    *,
    up: int,
    down: int,
    padding: tuple[int, int],
    gain: float,
    slope: float,
    clamp: float | None,
) -> Tensor:
    """A leaky ReLU at a higher rate, so that what it adds above the band can be taken away (section 3.2).

    Args:
        maps: [N, C, H, W].
        up_filter: for the way up, [T] or [T, T]; None: none.
        down_filter: for the way down.
        up: how much the rate rises.
        down: how much it falls.
        padding: before and behind, at the higher rate.
        gain: of the leaky ReLU.
        slope: of the leaky ReLU below 0.
        clamp: where its values are cut; None: nowhere.

    Returns:
        [N, C, H', W'] of as many samples as the filters reach.
    """
    found = []
    for part in maps.split(_AT_ONCE, 1):
        # The gain can come first, since a leaky ReLU keeps factors above 0.
        high = upfirdn2d(part, up_filter, up=up, padding=padding * 2, gain=up**2 * gain)
        if slope != 1:
            high = F.leaky_relu(high, slope)
        if clamp is not None:
            high = high.clamp(-clamp, clamp)
        found.append(upfirdn2d(high, down_filter, down=down))
    return torch.cat(found, 1)


class FourierFeatures(nn.Module):
    """What the first layer takes: waves on the canvas, turned and shifted as w says (section 3.2)."""

    def __init__(self, signal: Signal, styles: int) -> None:
        """Holds zeros and random numbers until weights are loaded.

        Args:
            signal: that it gives.
            styles: W, numbers of w.
        """
        super().__init__()
        self.signal = signal
        self.weight = nn.Parameter(torch.zeros(signal.channels, signal.channels))
        self.affine = Dense(styles, 4)
        self.transform: Tensor  # of the image; for those who turn or shift it themselves
        self.freqs: Tensor
        self.phases: Tensor
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.zeros(signal.channels, 2))
        self.register_buffer("phases", torch.zeros(signal.channels))

    def forward(self, w: Tensor) -> Tensor:
        """[N, C, size, size] of [N, W]."""
        signal = self.signal
        transform = self._placement(w) @ self.transform
        phases = self.phases[:, None] + self.freqs @ transform[:, :2, 2:]  # [N, C, 1]
        freqs = self.freqs @ transform[:, :2, :2]  # [N, C, 2], along columns and along rows
        # A transform that shrinks the image raises frequencies; those beyond the band fade.
        beyond = (freqs.norm(dim=2) - signal.cutoff) / (signal.rate / 2 - signal.cutoff)
        amplitudes = (1 - beyond).clamp(0, 1)
        # The image goes from -1/2 to 1/2, and a sample lies in the middle of its cell.
        places = (torch.arange(signal.size, dtype=w.dtype, device=w.device) + 0.5 - signal.size / 2) / signal.rate
        along_columns, along_rows = freqs.unsqueeze(3).mul(places).unbind(2)
        turns = along_rows.unsqueeze(3) + along_columns.unsqueeze(2) + phases.unsqueeze(3)
        waves = torch.sin(turns * math.tau) * amplitudes[:, :, None, None]
        mixed = self.weight / math.sqrt(signal.channels) @ waves.flatten(2)
        return mixed.unflatten(2, (signal.size, signal.size))

    def _placement(self, w: Tensor) -> Tensor:
        """The inverse of the image's turn and of its shift, [N, 3, 3].

        w gives (cos, sin, x, y), up to a factor that makes the first two a direction.
        """
        found = self.affine(w)
        cos, sin, x, y = (found / found[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rows = [cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y, zero, zero, one]
        return torch.stack(rows, 1).unflatten(1, (3, 3))


class AliasFreeLayer(nn.Module):
    """A modulated convolution with bias and filtered leaky ReLU, or to colours; its output is what is recorded."""

    def __init__(self, layer: Layer, styles: int) -> None:
        """Has its filters; the rest is zeros and random numbers until weights are loaded.

        Args:
            layer: its place among the signals.
            styles: W, numbers of w.
        """
        super().__init__()
        self.layer = layer
        inputs, outputs = layer.before.channels, layer.after.channels
        self.affine = Dense(styles, inputs)
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, layer.kernel, layer.kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.magnitude_ema: Tensor  # mean square of the input in training
        self.up_filter: Tensor | None
        self.down_filter: Tensor | None
        self.register_buffer("magnitude_ema", torch.ones(()))
        before, after, rate = layer.before, layer.after, layer.rate
        self.register_buffer("up_filter", lowpass(layer.up_taps, before.cutoff, 2 * before.half_width, rate))
        radial = layer.radial and not layer.critical
        down_filter = lowpass(layer.down_taps, after.cutoff, 2 * after.half_width, rate, radial=radial)
        self.register_buffer("down_filter", down_filter)

    def forward(self, maps: Tensor, w: Tensor) -> Tensor:
        """[N, O, size, size] of [N, I, size before, size before] and [N, W]."""
        layer, styles = self.layer, self.affine(w)
        if layer.colours:
            styles = styles / math.sqrt(self.weight[0].numel())
        gain = self.magnitude_ema.rsqrt()
        maps = modulated_convolution(maps, self.weight, styles, gain, demodulate=not layer.colours)
        return filtered_leaky_relu(
            maps + self.bias[:, None, None],
            self.up_filter,
            self.down_filter,
            up=layer.up,
            down=layer.down,
            padding=layer.padding,
            gain=1 if layer.colours else _TWICE,
            slope=1 if layer.colours else _SLOPE,
            clamp=layer.clamp,
        )
