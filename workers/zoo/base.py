"""What every source of networks returns: one small interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest

if TYPE_CHECKING:
    from workers.zoo.locations import Locations


# A text tower: texts to their embeddings, float32 [T, D], on the device that it was loaded to.
TextTower = Callable[[Sequence[str]], Tensor]


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

    Attributes:
        dimensions: Z, numbers of z.
        height: of the images, pixels.
        width: of the images, pixels.
        classes: how many; None: the generator is unconditional.
        styles: (L, W) of a style-based generator: how many style vectors it takes (w+), and the numbers of one (w).
            Its truncation pulls w towards the mean w (Karras et al. 2019, StyleGAN, section B). Of any other
            generator, truncated z are drawn from the normal distribution cut at +-2 and multiplied by the
            truncation (Brock et al. 2019, BigGAN, section 3.1). Without truncation, z is plainly normal.
    """

    dimensions: int
    height: int
    width: int
    classes: int | None = None
    styles: tuple[int, int] | None = None


@dataclass(frozen=True)
class Latents:
    """A batch of latents, ready for a generator.

    Attributes:
        values: float32 [N, Z] in z, [N, W] in w, [N, L, W] in w+.
        space: which of them; w and w+ only of a generator with styles.
        classes: int64 [N] of a generator with classes, else None.
        truncation: in (0, 1]; None: without.
    """

    values: Tensor
    space: Literal["z", "w", "w+"] = "z"
    classes: Tensor | None = None
    truncation: float | None = None

    def to(self, device: torch.device) -> Latents:
        """The same on another device."""
        classes = None if self.classes is None else self.classes.to(device)
        return replace(self, values=self.values.to(device), classes=classes)


@dataclass(frozen=True)
class Recording:
    """Responses that were recorded elsewhere: the network's input are positions in the probe set, int64 [N].

    Attributes:
        images: how many images there are responses to.
        probe: the digest (or its beginning) or the name of the probe set they answer.
        stated: what the file itself says of that, if it does; it has to be the same probe set.
    """

    images: int
    probe: str
    stated: str | None = None


@dataclass(frozen=True)
class Network:
    """A loaded network, ready to run.

    Attributes:
        module: in evaluation mode, without gradients.
        layers: default layers to record, module paths in forward order.
        weights_digest: sha256 of the weights, hex; the same weights give the same digest.
        family: such as `resnet`, `clip`, `dcgan`.
        aliases: nicknames a question may use, lower case.
        preprocessing: None for a generator and a recording.
        latents: None unless it is a generator.
        images: for a generator, its output to images in [0, 1], float32 [N, 3, H, W].
        inputs: for a generator, latents to the module's arguments.
        recording: None unless it is a recording.
        to_maps: a layer's output to activation maps float [N, C, H, W]: restores a token grid, puts channels
            second. Raises `LayerError` when the output is neither a map, tokens nor a vector.
        texts: of an image-text model, loads its text tower to a device; the module's own output is then the images'
            embeddings, float [N, D]. Raises `InvalidRequest` when the tower or its tokenizer is not at hand.
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
    inputs: Callable[[Latents], tuple[Any, ...]] | None = None
    recording: Recording | None = None
    to_maps: Callable[[str, Any], Tensor] | None = None
    texts: Callable[[torch.device], TextTower] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_generator(self) -> bool:
        """Whether it makes images from latents."""
        return self.latents is not None


class ModelSource(Protocol):
    """One scheme of source URIs, such as `timm:`."""

    def load(self, reference: str, locations: Locations) -> Network:
        """The network that `scheme:reference` names.

        Args:
            reference: what follows the scheme; a path in it was resolved inside the weights folders.
            locations: where weight files may lie; `locations.given` is the file of `--weights`.

        Raises:
            rosetta.errors.InvalidRequest: one clear line with the mend: no such architecture, no weights at
                hand (which file to put where), a broken or mismatching weight file (the first keys that do not
                fit).
        """
        ...
