"""What the builder of a StyleGAN hands to the source `stylegan:`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workers.zoo import maps
from workers.zoo.base import LatentSpace


@dataclass(frozen=True)
class Built:
    """A StyleGAN with its weights loaded.

    A builder is `build(record: workers.zoo.records.Record, file: str) -> Built`; `file` is the file's name, for
    `weights.fit` and `weights.mismatch`.

    The module is called as `module(values, labels, truncation, space)`, all but the first optional:
        values: float32 [N, Z] in z, [N, W] in w, [N, L, W] in w+.
        labels: int64 [N], class numbers, made one-hot inside; None where the generator has no classes. They are
            used in z only, and where the mean w of the truncation is one a class.
        truncation: psi; None: without. It pulls w towards the mean w, whichever space the values came in.
        space: "z" (default), "w" or "w+".
    It returns images, float32 [N, C, H, W] with C 3 or 1, in about [-1, 1].

    Attributes:
        module: the generator.
        space: its latents, with `styles`.
        layers: default layers: the outputs of the convolutions after their activation, in forward order.
        architecture: for people, such as `StyleGAN2`.
        aliases: nicknames, lower case.
        to_maps: as `Network.to_maps`.
    """

    module: nn.Module
    space: LatentSpace
    layers: tuple[str, ...]
    architecture: str
    aliases: tuple[str, ...] = ()
    to_maps: Callable[[str, Any], Tensor] = maps.plain_maps
