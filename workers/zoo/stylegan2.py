"""The generator of StyleGAN2 in plain PyTorch (Karras et al. 2020), its parts named as NVIDIA's files name them."""

from __future__ import annotations

import math
from collections.abc import Mapping as Table
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from rosetta.errors import InvalidRequest
from workers.zoo.base import LatentSpace
from workers.zoo.stylegan2_layers import Dense, Skip, StyledConvolution, ToColours, normalised
from workers.zoo.stylegan_built import Built
from workers.zoo.stylegan_generator import StyleGenerator
from workers.zoo.upfirdn import upsample

Architecture = Literal["skip", "orig", "resnet"]
_HALF = math.sqrt(0.5)  # keeps the variance of a sum of two branches


@dataclass(frozen=True)
class Layout:
    """The sizes of a generator, and what its weights do not tell.

    Attributes:
        latents: Z, numbers of z.
        styles: W, numbers of w.
        classes: 0: none.
        embedding: numbers that a class becomes.
        mapping: outputs of the mapping's layers; the last is W.
        channels: of each resolution, ascending.
        colours: channels of an image.
        architecture: how the resolutions make one image: `skip` adds up an image of each, `orig` has only the last,
            `resnet` also, and its blocks are residual.
        noise: whether convolutions add noise.
        size: of the kernels of convolutions.
        colours_size: of the kernels to colours.
        filter_shape: of the FIR filters.
        truncates: whether the mean w is known.
        activation: of the convolutions.
        mapping_activation: of the mapping.
        clamp: where outputs are cut; None: nowhere.
    """

    latents: int
    styles: int
    classes: int
    embedding: int
    mapping: tuple[int, ...]
    channels: Table[int, int]
    colours: int
    architecture: Architecture
    noise: bool
    size: int
    colours_size: int
    filter_shape: tuple[int, ...]
    truncates: bool
    activation: str = "lrelu"
    mapping_activation: str = "lrelu"
    clamp: float | None = None


class Mapping(nn.Module):
    """z, and a class where there are some, to w."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.classes = layout.classes
        if layout.classes:
            self.embed = nn.Linear(layout.classes, layout.embedding)
        widths = (layout.latents + layout.embedding, *layout.mapping)
        self.count = len(layout.mapping)
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            self.add_module(f"fc{index}", Dense(inputs, outputs, layout.mapping_activation))
        self.w_avg: Tensor | None
        self.register_buffer("w_avg", torch.zeros(layout.styles) if layout.truncates else None)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """[N, W] of [N, Z] and class numbers [N]."""
        vectors = normalised(z)
        if self.classes:
            if labels is None:
                raise InvalidRequest(f"this generator has {self.classes} classes: name one for each z")
            embedded = self.embed(F.one_hot(labels, self.classes).to(vectors.dtype))
            vectors = torch.cat([vectors, normalised(embedded)], 1)
        for index in range(self.count):
            vectors = self.get_submodule(f"fc{index}")(vectors)
        return vectors

    def mean(self, _labels: Tensor | None) -> Tensor:
        """The mean w, [W]."""
        if self.w_avg is None:
            raise InvalidRequest("the file has no mean w: leave the truncation out")
        return self.w_avg


class Block(nn.Module):
    """The layers of one resolution."""

    def __init__(self, layout: Layout, resolution: int, before: int | None, *, last: bool) -> None:
        """Holds zeros until weights are loaded.

        Args:
            layout: of the generator.
            resolution: pixels.
            before: channels of the resolution before; None: this is the first.
            last: whether it is the last.
        """
        super().__init__()
        self.residual = layout.architecture == "resnet" and before is not None
        outputs, filter_shape = layout.channels[resolution], layout.filter_shape

        def convolution(inputs: int, *, up: bool) -> StyledConvolution:
            return StyledConvolution(
                inputs,
                outputs,
                layout.styles,
                resolution,
                size=layout.size,
                filter_shape=filter_shape if up else None,
                noise=layout.noise,
                activation=layout.activation,
                clamp=layout.clamp,
            )

        if before is None:
            self.const = nn.Parameter(torch.zeros(outputs, resolution, resolution))
        else:
            self.conv0 = convolution(before, up=True)
        self.conv1 = convolution(outputs, up=False)
        self.torgb: ToColours | None = None
        if last or layout.architecture == "skip":
            self.torgb = ToColours(outputs, layout.colours, layout.styles, layout.colours_size, layout.clamp)
        if self.residual:
            assert before is not None
            self.skip = Skip(before, outputs, filter_shape)
        grows = layout.architecture == "skip" and before is not None
        self.resample_filter: Tensor | None
        self.register_buffer("resample_filter", torch.zeros(filter_shape) if grows else None)

    def forward(self, maps: Tensor | None, image: Tensor | None, ws: Tensor) -> tuple[Tensor, Tensor | None]:
        """Maps and image of this resolution, from those of the one before (None: there is none) and w [N, 2 or 3, W].

        The w are the convolutions' and the colours', in that order.
        """
        styles = list(ws.unbind(1))
        if maps is None:
            maps = self.const.expand(len(ws), -1, -1, -1)
            maps = self.conv1(maps, styles.pop(0))
        elif self.residual:
            short_cut = self.skip(maps) * _HALF
            maps = self.conv0(maps, styles.pop(0))
            maps = self.conv1(maps, styles.pop(0), gain=_HALF) + short_cut
        else:
            maps = self.conv0(maps, styles.pop(0))
            maps = self.conv1(maps, styles.pop(0))
        if image is not None and self.resample_filter is not None:
            image = upsample(image, self.resample_filter)
        if self.torgb is not None:
            colours = self.torgb(maps, styles.pop(0))
            image = colours if image is None else image + colours
        return maps, image


class Synthesis(nn.Module):
    """Styles to an image, resolution by resolution."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.resolutions = tuple(layout.channels)
        before = None
        for resolution, channels in layout.channels.items():
            block = Block(layout, resolution, before, last=resolution == self.resolutions[-1])
            self.add_module(f"b{resolution}", block)
            before = channels
        self.num_ws = 2 * len(self.resolutions)  # a w for each convolution, and one for the last colours

    def forward(self, ws: Tensor) -> Tensor:
        """[N, colours, H, H] of [N, L, W]."""
        maps = image = None
        first = 0
        for resolution in self.resolutions:
            count = 1 if maps is None else 2
            # The colours of a resolution share their w with the first convolution of the next.
            maps, image = self.get_submodule(f"b{resolution}")(maps, image, ws[:, first : first + count + 1])
            first += count
        assert image is not None  # the last resolution has colours
        return image


class Generator(StyleGenerator):
    """The generator of a layout; holds zeros until weights are loaded."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(Mapping(layout), Synthesis(layout), layout.styles)


def built(module: Generator, layout: Layout) -> Built:
    """The generator, and what the source says of it."""
    resolution = max(layout.channels)
    return Built(
        module=module,
        space=LatentSpace(
            dimensions=layout.latents,
            height=resolution,
            width=resolution,
            classes=layout.classes or None,
            styles=(module.synthesis.num_ws, layout.styles),
        ),
        layers=tuple(name for name, layer in module.named_modules() if isinstance(layer, StyledConvolution)),
        architecture=f"StyleGAN2 ({layout.architecture}, {resolution} x {resolution})",
        aliases=("stylegan2", "stylegan 2"),
    )
