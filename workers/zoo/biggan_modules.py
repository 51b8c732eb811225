"""The generator of BigGAN-deep (Brock et al. 2019, appendix B, figure 16), in plain PyTorch.

Parameters and buffers have the names of the published checkpoints. Every activation is a module of its own, so that
its output can be recorded, and modules stand in forward order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as all the world calls it
from torch.nn.utils import remove_spectral_norm, spectral_norm

# Generation begins at 4x4 pixels.
_FIRST_SIDE = 4
# A block's inner convolutions have a quarter of its channels.
_BOTTLENECK = 4


@dataclass(frozen=True)
class Architecture:
    """The sizes of a generator.

    Attributes:
        layers: one a block: whether it doubles the resolution, channels of its input, and of its output, in units of
            `channel_width`.
        attention_layer_position: the block before which self-attention stands.
        z_dim: numbers of z, and of the embedding of a class.
        channel_width: see `layers`.
        num_classes: how many.
        eps: what normalisations add to a variance.
        n_stats: at how many truncations, evenly spread over [0, 1], statistics were measured.
    """

    layers: tuple[tuple[bool, int, int], ...]
    attention_layer_position: int = 8
    z_dim: int = 128
    channel_width: int = 128
    num_classes: int = 1000
    eps: float = 1e-4
    n_stats: int = 51

    def __post_init__(self) -> None:
        """Check that blocks fit one to the next.

        Raises:
            ValueError: when they do not.
        """
        if not self.layers or self.n_stats < 2:
            raise ValueError("it needs blocks, and two steps of truncation")
        for (_, _, made), (_, taken, _) in pairwise(self.layers):
            if made != taken:
                raise ValueError(f"a block takes {taken} channels of the {made} that the one before it makes")

    @property
    def side(self) -> int:
        """Height and width of the images, pixels."""
        return _FIRST_SIDE * 2 ** sum(doubles for doubles, _, _ in self.layers)


class _Statistics(nn.Module):
    """Means and variances of a normalisation's input, one row a truncation from 0 to 1."""

    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int, sizes: Architecture) -> None:
        super().__init__()
        self.eps = sizes.eps
        self.register_buffer("running_means", torch.zeros(sizes.n_stats, channels))
        self.register_buffer("running_vars", torch.ones(sizes.n_stats, channels))

    def affine(self, truncation: float, gain: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Slope and intercept of `(x - mean) / sqrt(variance + eps) * gain + offset` as a function of x.

        Between two steps the published generator gives its fraction f to the step below, f * below + (1 - f) * above,
        and finds both by `truncation / (1 / (n_stats - 1))` in floating point. This follows it.
        """
        last = len(self.running_means) - 1
        fraction, step = math.modf(truncation / (1 / last))
        below, above = int(step), min(int(step) + 1, last)
        mean, variance = self.running_means[below], self.running_vars[below]
        if fraction:
            mean = fraction * mean + (1 - fraction) * self.running_means[above]
            variance = fraction * variance + (1 - fraction) * self.running_vars[above]
        slope = gain / (variance + self.eps).sqrt()
        return slope, offset - mean * slope


class ConditionalNorm(_Statistics):
    """Batch normalisation whose gain and offset are linear in z and the class."""

    def __init__(self, channels: int, sizes: Architecture) -> None:
        super().__init__(channels, sizes)
        self.scale = spectral_norm(nn.Linear(2 * sizes.z_dim, channels, bias=False))
        self.offset = spectral_norm(nn.Linear(2 * sizes.z_dim, channels, bias=False))

    def forward(self, maps: Tensor, condition: Tensor, truncation: float) -> Tensor:
        """The normalised maps `[N, C, H, W]`, for conditions `[N, 2 * z_dim]`."""
        slope, intercept = self.affine(truncation, 1 + self.scale(condition), self.offset(condition))
        return torch.addcmul(intercept[:, :, None, None], maps, slope[:, :, None, None])


class PlainNorm(_Statistics):
    """Batch normalisation with a gain and an offset of its own."""

    def __init__(self, channels: int, sizes: Architecture) -> None:
        super().__init__(channels, sizes)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor, truncation: float) -> Tensor:
        """The normalised maps `[N, C, H, W]`."""
        slope, intercept = self.affine(truncation, self.weight, self.bias)
        return torch.addcmul(intercept[:, None, None], maps, slope[:, None, None])


class SelfAttention(nn.Module):
    """Every pixel attends to 2x2 patches of the whole map (Zhang et al. 2019, SAGAN, equations 1 to 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.snconv1x1_theta = spectral_norm(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.snconv1x1_phi = spectral_norm(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.snconv1x1_g = spectral_norm(nn.Conv2d(channels, channels // 2, 1, bias=False))
        self.snconv1x1_o_conv = spectral_norm(nn.Conv2d(channels // 2, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """The maps `[N, C, H, W]`, of even sides, with what they attend to added gamma times."""
        query, key, value = (
            # Rows for pixels or patches, columns for channels.
            side.flatten(2).transpose(1, 2)
            for side in (
                self.snconv1x1_theta(maps),
                F.max_pool2d(self.snconv1x1_phi(maps), 2),
                F.max_pool2d(self.snconv1x1_g(maps), 2),
            )
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        attended = attended.transpose(1, 2).unflatten(2, maps.shape[2:])
        return maps + self.gamma * self.snconv1x1_o_conv(attended)


class Block(nn.Module):
    """A residual bottleneck of four convolutions; the skip drops channels that the output does not have."""

    def __init__(self, taken: int, made: int, sizes: Architecture, *, doubles: bool) -> None:
        super().__init__()
        self.made, self.doubles = made, doubles
        middle = taken // _BOTTLENECK
        self.bn_0 = ConditionalNorm(taken, sizes)
        self.relu_0 = nn.ReLU(inplace=True)
        self.conv_0 = spectral_norm(nn.Conv2d(taken, middle, 1))
        self.bn_1 = ConditionalNorm(middle, sizes)
        self.relu_1 = nn.ReLU(inplace=True)
        self.conv_1 = spectral_norm(nn.Conv2d(middle, middle, 3, padding=1))
        self.bn_2 = ConditionalNorm(middle, sizes)
        self.relu_2 = nn.ReLU(inplace=True)
        self.conv_2 = spectral_norm(nn.Conv2d(middle, middle, 3, padding=1))
        self.bn_3 = ConditionalNorm(middle, sizes)
        self.relu_3 = nn.ReLU(inplace=True)
        self.conv_3 = spectral_norm(nn.Conv2d(middle, made, 1))

    def forward(self, maps: Tensor, condition: Tensor, truncation: float) -> Tensor:
        """Maps `[N, made, H, W]`, of twice the sides where the block doubles them."""
        inner = self.conv_0(self.relu_0(self.bn_0(maps, condition, truncation)))
        inner = self.conv_1(self._resized(self.relu_1(self.bn_1(inner, condition, truncation))))
        inner = self.conv_2(self.relu_2(self.bn_2(inner, condition, truncation)))
        inner = self.conv_3(self.relu_3(self.bn_3(inner, condition, truncation)))
        return inner + self._resized(maps[:, : self.made])

    def _resized(self, maps: Tensor) -> Tensor:
        return F.interpolate(maps, scale_factor=2, mode="nearest") if self.doubles else maps


class Generator(nn.Module):
    """From a condition to an image."""

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        width = sizes.channel_width
        self.first = width * sizes.layers[0][1]
        self.gen_z = spectral_norm(nn.Linear(2 * sizes.z_dim, _FIRST_SIDE**2 * self.first))
        self.layers = nn.ModuleList()
        for position, (doubles, taken, made) in enumerate(sizes.layers):
            if position == sizes.attention_layer_position:
                self.layers.append(SelfAttention(width * taken))
            self.layers.append(Block(width * taken, width * made, sizes, doubles=doubles))
        last = width * sizes.layers[-1][2]
        self.bn = PlainNorm(last, sizes)
        self.relu = nn.ReLU(inplace=True)
        self.conv_to_rgb = spectral_norm(nn.Conv2d(last, last, 3, padding=1))
        self.tanh = nn.Tanh()

    def forward(self, condition: Tensor, truncation: float) -> Tensor:
        """Images `[N, 3, side, side]` in [-1, 1], for conditions `[N, 2 * z_dim]`."""
        # The published weights come from TensorFlow, where channels are last.
        maps = self.gen_z(condition).unflatten(1, (_FIRST_SIDE, _FIRST_SIDE, self.first)).permute(0, 3, 1, 2)
        for layer in self.layers:
            maps = layer(maps, condition, truncation) if isinstance(layer, Block) else layer(maps)
        return self.tanh(self.conv_to_rgb(self.relu(self.bn(maps, truncation)))[:, :3])


class BigGAN(nn.Module):
    """The generator with its embedding of classes."""

    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        self.embeddings = nn.Linear(sizes.num_classes, sizes.z_dim, bias=False)
        self.generator = Generator(sizes)

    def forward(self, z: Tensor, classes: Tensor, truncation: float) -> Tensor:
        """Images `[N, 3, side, side]` in [-1, 1].

        Args:
            z: float `[N, z_dim]`.
            classes: int64 `[N]`.
            truncation: in (0, 1], which chooses the statistics of the normalisations.
        """
        one_hot = F.one_hot(classes, self.embeddings.in_features).to(z.dtype)
        return self.generator(torch.cat((z, self.embeddings(one_hot)), dim=1), truncation)

    def fold(self) -> None:
        """Put W / (u' W v) in the place of every weight W with spectral normalisation, once the weights are loaded.

        u and v are stored, and constant in evaluation (Miyato et al. 2018, algorithm 1). The last convolution makes
        as many channels as it takes, of which three are colours: the others go.
        """
        for module in self.modules():
            if hasattr(module, "weight_orig"):
                remove_spectral_norm(module)
        last = self.generator.conv_to_rgb
        last.weight, last.bias = nn.Parameter(last.weight[:3].clone()), nn.Parameter(last.bias[:3].clone())
        last.out_channels = 3
