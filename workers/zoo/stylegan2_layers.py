"""The layers of StyleGAN2 (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

Weights are the ones that act: the gains of the equalized learning rate (Karras et al. 2018, section 4.1) were
multiplied in when a file was read.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from rosetta.errors import InvalidRequest
from workers.zoo.upfirdn import upfirdn2d, upsample

_EPSILON = 1e-8
_TWICE = math.sqrt(2)  # restores the variance that half of a normal distribution loses
# Each non-linearity of the published networks, and its gain.
_ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "linear": (lambda maps: maps, 1),
    "relu": (F.relu, _TWICE),
    "lrelu": (lambda maps: F.leaky_relu(maps, 0.2), _TWICE),
    "tanh": (torch.tanh, 1),
    "sigmoid": (torch.sigmoid, 1),
    "elu": (F.elu, 1),
    "selu": (F.selu, 1),
    "softplus": (F.softplus, 1),
    "swish": (F.silu, _TWICE),
}


def check_activation(name: str) -> str:
    """The name.

    Raises:
        InvalidRequest: when no such non-linearity is known.
    """
    if name not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise InvalidRequest(f"the file asks for the non-linearity '{name}': StyleGAN2 has {known}", activation=name)
    return name


def activate(values: Tensor, name: str, gain: float = 1, clamp: float | None = None) -> Tensor:
    """A non-linearity times its own gain and `gain`, cut at +-`gain` `clamp`."""
    function, own_gain = _ACTIVATIONS[name]
    values = function(values) * (own_gain * gain)
    return values if clamp is None else values.clamp(-clamp * gain, clamp * gain)


def normalised(vectors: Tensor) -> Tensor:
    """Vectors [N, D] with a mean square of 1."""
    return vectors * (vectors.square().mean(1, keepdim=True) + _EPSILON).rsqrt()


def modulated_convolution(
    maps: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: Tensor | None = None
) -> Tensor:
    """A convolution whose weights are each image's own: scaled by its styles, then to unit norm (equations 1 to 3).

    The maps are scaled instead of the weights, before and after: it is the same sum, and all images share one
    convolution.

    Args:
        maps: [N, I, H, W].
        weight: [O, I, K, K].
        styles: s, [N, I].
        demodulate: divide each output by the norm of its weights, sqrt(sum (s w)^2).
        up: FIR filter; given, the maps become twice as large: a transposed convolution of stride 2, then the filter.

    Returns:
        [N, O, H, W], or [N, O, 2 H, 2 W].
    """
    size = weight.shape[-1]
    maps = maps * styles[:, :, None, None]
    if up is None:
        maps = F.conv2d(maps, weight, padding=size // 2)
    else:
        maps = F.conv_transpose2d(maps, weight.transpose(0, 1), stride=2)
        left, right = _margins(up.shape[-1], size)
        top, bottom = _margins(up.shape[0], size)
        maps = upfirdn2d(maps, up, padding=(left, right, top, bottom), gain=4)
    if demodulate:
        energies = styles.square() @ weight.square().sum((2, 3)).T
        maps = maps * (energies + _EPSILON).rsqrt()[:, :, None, None]
    return maps


def _margins(taps: int, size: int) -> tuple[int, int]:
    """Zeros before and after a transposed convolution's output that keep filter and kernel centred; below 0: cut."""
    return size // 2 + (taps + 1) // 2 - (size - 1), size // 2 + (taps - 2) // 2 - (size - 2)


class Dense(nn.Linear):
    """A fully connected layer with a non-linearity."""

    def __init__(self, inputs: int, outputs: int, activation: str) -> None:
        super().__init__(inputs, outputs)
        self.activation = activation

    def forward(self, vectors: Tensor) -> Tensor:
        """[N, outputs] of [N, inputs]."""
        return activate(super().forward(vectors), self.activation)


class StyledConvolution(nn.Module):
    """A modulated convolution with noise, bias and non-linearity; its output is what is recorded."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        styles: int,
        resolution: int,
        *,
        size: int,
        filter_shape: tuple[int, ...] | None,
        noise: bool,
        activation: str,
        clamp: float | None,
    ) -> None:
        """Holds zeros until weights are loaded.

        Args:
            inputs: channels.
            outputs: channels.
            styles: W, numbers of w.
            resolution: of the output, pixels.
            size: of the kernel.
            filter_shape: of the FIR filter of a layer that doubles the resolution; None: it keeps it.
            noise: whether it adds a noise image.
            activation: its non-linearity.
            clamp: where its output is cut; None: nowhere.
        """
        super().__init__()
        self.activation, self.clamp, self.noisy = activation, clamp, noise
        self.affine = nn.Linear(styles, inputs)
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.resample_filter: Tensor | None
        self.register_buffer("resample_filter", None if filter_shape is None else torch.zeros(filter_shape))
        if noise:
            self.noise_const: Tensor
            self.register_buffer("noise_const", torch.zeros(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor, w: Tensor, gain: float = 1) -> Tensor:
        """[N, outputs, resolution, resolution] of [N, inputs, H, H] and [N, W], times `gain`."""
        maps = modulated_convolution(maps, self.weight, self.affine(w), up=self.resample_filter)
        if self.noisy:
            maps = maps + self.noise_const * self.noise_strength
        return activate(maps + self.bias[:, None, None], self.activation, gain, self.clamp)


class ToColours(nn.Module):
    """A modulated convolution to an image's colours."""

    def __init__(self, inputs: int, colours: int, styles: int, size: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = nn.Linear(styles, inputs)
        self.weight = nn.Parameter(torch.zeros(colours, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, maps: Tensor, w: Tensor) -> Tensor:
        """[N, colours, H, H] of [N, inputs, H, H] and [N, W]."""
        colours = modulated_convolution(maps, self.weight, self.affine(w), demodulate=False)
        return activate(colours + self.bias[:, None, None], "linear", clamp=self.clamp)


class Skip(nn.Module):
    """The short cut of a residual block: a plain 1x1 convolution, twice as large."""

    def __init__(self, inputs: int, outputs: int, filter_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 1, 1))
        self.resample_filter: Tensor
        self.register_buffer("resample_filter", torch.zeros(filter_shape))

    def forward(self, maps: Tensor) -> Tensor:
        """[N, outputs, 2 H, 2 H] of [N, inputs, H, H]."""
        return upsample(F.conv2d(maps, self.weight), self.resample_filter)
