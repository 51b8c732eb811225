"""The mapping networks of StyleGAN3 and of StyleGAN-XL: z, and a class where there are some, to w."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from rosetta.errors import InvalidRequest
from workers.zoo.stylegan2_layers import normalised
from workers.zoo.stylegan3_layers import Dense


@dataclass(frozen=True)
class MappingSizes:
    """The sizes of a mapping.

    Attributes:
        latents: Z, numbers of z.
        styles: W, numbers of w.
        classes: 0: none.
        depth: layers.
        rate: of learning, as a multiple of the other layers'.
        table: StyleGAN-XL's pretrained embedding of classes, [rows, numbers]; it is there without classes too, and
            may have rows that no class has. None: StyleGAN3, which learns its own.
    """

    latents: int
    styles: int
    classes: int
    depth: int
    rate: float
    table: tuple[int, int] | None = None


class Mapping(nn.Module):
    """z, and a class where there are some, to w; with the mean w, in StyleGAN-XL that of each class."""

    def __init__(self, sizes: MappingSizes) -> None:
        """Holds zeros and random numbers until weights are loaded."""
        super().__init__()
        self.sizes = sizes
        width = 0
        if sizes.table:
            self.embed: nn.Module = nn.Embedding(*sizes.table)
            if sizes.classes:
                width = sizes.latents
                self.embed_proj = Dense(sizes.table[1], width, leaky=True)
        elif sizes.classes:
            width = sizes.styles
            self.embed = Dense(sizes.classes, width)
        for index in range(sizes.depth):
            inputs = sizes.styles if index else sizes.latents + width
            self.add_module(f"fc{index}", Dense(inputs, sizes.styles, rate=sizes.rate, leaky=True))
        self.by_class = bool(sizes.table and sizes.classes)
        self.w_avg: Tensor
        self.register_buffer("w_avg", torch.zeros((sizes.classes,) * self.by_class + (sizes.styles,)))

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """[N, W] of [N, Z] and class numbers [N]."""
        vectors = normalised(z)
        if self.sizes.classes:
            vectors = torch.cat([vectors, normalised(self._embedded(self._named(labels)))], 1)
        for index in range(self.sizes.depth):
            vectors = self.get_submodule(f"fc{index}")(vectors)
        return vectors

    def mean(self, labels: Tensor | None) -> Tensor:
        """The mean w, [W]; of each label's own class [N, 1, W] (Sauer et al. 2022, StyleGAN-XL)."""
        return self.w_avg[self._named(labels), None] if self.by_class else self.w_avg

    def _embedded(self, labels: Tensor) -> Tensor:
        if self.sizes.table:
            return self.embed_proj(self.embed(labels))
        return self.embed(F.one_hot(labels, self.sizes.classes).to(self.w_avg.dtype))

    def _named(self, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise InvalidRequest(f"this generator has {self.sizes.classes} classes: name one for each image")
        return labels
