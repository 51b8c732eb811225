"""What every source of networks returns: one small interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from rosetta.errors import InvalidRequest


class LayerError(InvalidRequest):
    """A layer's output cannot be read as activation maps."""


@dataclass(frozen=True)
class Preprocessing:
    """How images in [0, 1] become a network's input: resized to height x width, then (x - mean) / std."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


@dataclass(frozen=True)
class LatentSpace:
    """A generator's latents: `dimensions` Gaussian numbers, and a class where `classes` is given.

    `truncation`: values of z are drawn from the normal distribution cut at +-2 and multiplied by it
    (Brock et al. 2019, BigGAN, section 3.1); without it, z is plainly normal.
    """

    dimensions: int
    height: int
    width: int
    classes: int | None = None


@dataclass(frozen=True)
class Network:
    """A loaded network, ready to run.

    Attributes:
        module: in evaluation mode, without gradients.
        layers: default layers to record, module paths in forward order.
        weights_digest: sha256 of the weights, hex; the same weights give the same digest.
        family: such as `resnet`, `clip`, `dcgan`.
        aliases: nicknames a question may use, lower case.
        preprocessing: None for a generator.
        latents: None unless it is a generator.
        images: for a generator, its output to images in [0, 1], float32 [N, 3, H, W].
        inputs: for a generator, latents z float32 [N, Z] (and classes int64 [N], or None) to the module's
            arguments.
        to_maps: a layer's output to activation maps float [N, C, H, W]: restores a token grid, puts channels
            second. Raises `LayerError` when the output is neither a map, tokens nor a vector.
        details: what people want to know: licence, architecture.
    """

    module: nn.Module
    layers: tuple[str, ...]
    weights_digest: str
    family: str
    aliases: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    latents: LatentSpace | None = None
    images: Callable[[Tensor], Tensor] | None = None
    inputs: Callable[[Tensor, Tensor | None], tuple[Any, ...]] | None = None
    to_maps: Callable[[str, Any], Tensor] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_generator(self) -> bool:
        """Whether it makes images from latents."""
        return self.latents is not None


class ModelSource(Protocol):
    """One scheme of source URIs, such as `timm:`."""

    def load(self, reference: str, weights: Path | None) -> Network:
        """The network that `scheme:reference` names.

        Args:
            reference: what follows the scheme; a path in it was resolved inside the weights folders.
            weights: a weight file that overrides the source's own; None: the hub's cache.

        Raises:
            rosetta.errors.InvalidRequest: one clear line with the mend: no such architecture, no weights at
                hand (which file to put where), a broken or mismatching weight file (the first keys that do not
                fit).
        """
        ...
