"""Directions of a generator's latents along which most changes, from samples of it.

Harkonen et al. 2020, "GANSpace": of a style-based generator the principal axes of w; of any other, the axes of an early
layer's activations brought back to z by linear regression.

Their axes are the principal ones of the activations; what of them is not linear in z is lost in the regression. So the
axes here are those of what z predicts linearly (redundancy analysis, van den Wollenberg 1977): the same where the layer
is linear in z, exact in one pass at any size of the layer, and each explains the most that a step in z can. Of w itself
they are its principal axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.mining.activations import Recorder
from workers.zoo.base import Latents, Network
from workers.zoo.maps import plain_maps
from workers.zoo.stylegan_generator import StyleGenerator

_MOST_PRODUCTS = 2**28  # 2 GiB of float64


@dataclass(frozen=True)
class Directions:
    """Directions of a latent space, the one that changes most first.

    Attributes:
        space: of the latents they move.
        layer: whose activations they change most; None: they are the principal axes of the latents themselves.
        steps: float64 [K, D], what moves a latent by one deviation along each. Its largest entry is above 0.
        share: float64 [K], of the variance of the activations (or the latents) that each one explains.
        samples: how many they were found from.
    """

    space: Literal["z", "w"]
    layer: str | None
    steps: Tensor
    share: Tensor
    samples: int

    @property
    def std(self) -> Tensor:
        """Float64 [K]: of the latents along each direction, the length of its step."""
        return self.steps.norm(dim=1)

    @property
    def basis(self) -> Tensor:
        """Float64 [K, D]: steps of length 1."""
        return self.steps / self.std[:, None]


class LatentMoments:
    """Streaming moments of latents and of what is made of them: any split of the samples gives the same.

    Sums of products about the means, in float64, merged by Chan et al. 1983.
    """

    def __init__(self, space: Literal["z", "w"], dimensions: int, layer: str | None = None, features: int = 0) -> None:
        """Begin empty.

        Args:
            space: of the latents.
            dimensions: D, numbers of a latent.
            layer: whose activations are the features; None: the latents are what counts.
            features: F, numbers of an activation; 0 without a layer.

        Raises:
            InvalidRequest: when the products would not fit the memory.
        """
        if dimensions * features > _MOST_PRODUCTS:
            raise InvalidRequest(
                f"layer '{layer}' has {features:,} activations, too many beside {dimensions} numbers of a latent: "
                "name an earlier layer",
                layer=layer,
            )
        self.space, self.layer, self.count = space, layer, 0
        self._means = torch.zeros(dimensions + features, dtype=torch.float64)
        self._products = torch.zeros(dimensions + features, dimensions, dtype=torch.float64)
        self._squares = torch.zeros(dimensions + features, dtype=torch.float64)
        self._dimensions = dimensions

    def update(self, latents: Tensor, features: Tensor | None = None) -> None:
        """Take a batch in: latents float [B, D] and, where there is a layer, its activations float [B, F]."""
        values = latents if features is None else torch.cat([latents, features.to(latents)], 1)
        values = values.double().cpu()
        means = values.mean(0)
        values = values - means
        self._add(len(values), means, values.T @ values[:, : self._dimensions], values.square().sum(0))

    def merge(self, other: LatentMoments) -> Self:
        """Take in what `other` saw, of other samples."""
        self._add(other.count, other._means, other._products, other._squares)
        return self

    def _add(self, count: int, means: Tensor, products: Tensor, squares: Tensor) -> None:
        if not count:
            return
        total = self.count + count
        offset, weight = means - self._means, self.count * count / total
        self._products += products + weight * torch.outer(offset, offset[: self._dimensions])
        self._squares += squares + weight * offset.square()
        self._means += offset * (count / total)
        self.count = total

    def principal(self, count: int) -> Directions:
        """The directions along which most changes, at most `count`: there are no more than the latents' rank.

        Raises:
            InvalidRequest: when there are too few samples, or a number is not finite.
        """
        axes, root = self._whitened()
        loadings = self._products[self._dimensions :] @ axes / (self.count - 1) if self.layer is not None else root
        _, sizes, turned = torch.linalg.svd(loadings, full_matrices=False)
        steps = _signed((root @ turned.T).T[:count])
        total = self._squares[self._dimensions if self.layer is not None else 0 :].sum() / (self.count - 1)
        return Directions(self.space, self.layer, steps, sizes[:count].square() / total, self.count)

    def random(self, count: int, seed: int) -> Tensor:
        """Steps of one deviation in random directions, float64 [count, D]: the control of the principal ones."""
        _, root = self._whitened()
        drawn = torch.randn(count, root.shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (drawn / drawn.norm(dim=1, keepdim=True)) @ root.T

    def _whitened(self) -> tuple[Tensor, Tensor]:
        """The latents' axes over their deviations, and times them: float64 [D, R] each."""
        if self.count <= self._dimensions:
            raise InvalidRequest(
                f"directions of {self._dimensions} numbers take more samples than that, better ten times as many: "
                f"{self.count} came"
            )
        if not self._products.isfinite().all():
            raise InvalidRequest("the generator gives NaN or infinity: it has no directions")
        covariance = self._products[: self._dimensions] / (self.count - 1)
        variances, axes = torch.linalg.eigh(covariance)
        live = variances > variances[-1] * self._dimensions * torch.finfo(torch.float64).eps
        if not live.any():
            raise InvalidRequest("all latents are the same: they have no directions")
        deviations = variances[live].sqrt()
        return axes[:, live] / deviations, axes[:, live] * deviations


def _signed(steps: Tensor) -> Tensor:
    """The steps, each turned so that its largest entry is above 0."""
    largest = steps.gather(1, steps.abs().argmax(1, keepdim=True))
    return steps * largest.sign()


@torch.inference_mode()
def gather(generator: Network, batches: Iterable[Latents], layer: str | None = None) -> LatentMoments:
    """Moments of samples of a generator.

    Args:
        generator: on the latents' device.
        batches: z.
        layer: whose activations are to change most. None: of a style-based generator, w is what counts; of any other,
            its first recorded layer.

    Raises:
        InvalidRequest: when there is no such layer, or it is too large.
    """
    space = generator.latents
    if space is None or generator.inputs is None:
        raise InvalidRequest("this model is no generator: it has no latents to find directions in")
    if layer is None and space.styles is not None:
        moments = LatentMoments("w", space.styles[1])
        for batch in batches:
            moments.update(to_w(generator, batch).values)
        return moments
    layer = layer or generator.layers[0]
    to_maps = generator.to_maps or plain_maps
    seen: list[Tensor] = []
    found: LatentMoments | None = None
    try:
        recorder = Recorder(
            generator.module, [layer], lambda name, output: seen.append(to_maps(name, output).flatten(1))
        )
    except KeyError as missing:
        raise InvalidRequest(f"the generator has no layer {missing}", layer=layer) from missing
    with recorder:
        for batch in batches:
            recorder.run(*generator.inputs(batch))
            features = seen.pop()
            found = found or LatentMoments("z", space.dimensions, layer, features.shape[1])
            found.update(batch.values, features)
    if found is None:
        raise InvalidRequest("directions are found from samples: there are none")
    return found


@torch.no_grad()
def to_w(generator: Network, latents: Latents) -> Latents:
    """The w of z, before truncation; w and w+ as they are.

    Raises:
        InvalidRequest: when the generator has no styles.
    """
    if not isinstance(generator.module, StyleGenerator):
        raise InvalidRequest("this generator has no styles: its latents are z")
    if latents.space != "z":
        return latents
    return replace(latents, values=generator.module.mapping(latents.values, latents.classes), space="w")


def to_w_plus(latents: Latents, styles: int) -> Latents:
    """The w+ of w: the same vector for each of the `styles` layers; w+ as it is."""
    if latents.space == "z":
        raise InvalidRequest("z has no styles: make w of it first")
    if latents.space == "w+":
        return latents
    return replace(latents, values=latents.values[:, None].expand(-1, styles, -1).clone(), space="w+")


def walk(
    latents: Latents, step: Tensor, sigmas: Sequence[float], space: Literal["z", "w"], styles: slice | None = None
) -> Latents:
    """The latents of a slider.

    Args:
        latents: N of them, where the walk begins; w+ for directions of w, too.
        step: float [D], one of `Directions.steps`.
        sigmas: S places on the slider, in deviations; 0 is where it begins.
        space: of the direction.
        styles: of w+, the style vectors that move: GANSpace's edits of a range of layers. None: all.

    Returns:
        N S latents, all places of the first one before those of the next.

    Raises:
        InvalidRequest: when the latents are of another space or size, or a number is not finite.
    """
    if latents.space[0] != space or latents.values.shape[-1] != len(step):
        raise InvalidRequest(
            f"a direction of {len(step)} numbers of {space} moves no {latents.space} of {latents.values.shape[-1]}"
        )
    if styles is not None and latents.space != "w+":
        raise InvalidRequest(f"only w+ has a vector for each layer: {latents.space} moves as a whole")
    places = torch.tensor(sigmas, dtype=torch.float64)
    if not (places.isfinite().all() and step.isfinite().all()):
        raise InvalidRequest("a walk takes finite numbers of deviations")
    moves = torch.outer(places, step.double().cpu())  # [S, D]
    if latents.space == "w+":
        moved = torch.zeros(latents.values.shape[1], 1, dtype=torch.float64)
        moved[styles or slice(None)] = 1
        moves = moves[:, None] * moved
    values = latents.values[:, None] + moves.to(latents.values)
    classes = None if latents.classes is None else latents.classes.repeat_interleave(len(places))
    return replace(latents, values=values.flatten(0, 1), classes=classes)
