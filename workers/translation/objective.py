"""What inversion minimises: minus the correlation of the matched units, and terms of the picture where asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.mining.activations import Recorder
from workers.mining.resize import Grid
from workers.translation.responses import make
from workers.translation.targets import Targets
from workers.translation.unit_term import UnitTerm
from workers.zoo.base import Latents, Network
from workers.zoo.maps import plain_maps

# Distance of images a and b, both float32 [B, 3, H, W] in [0, 1]: float32 [B]. Gradients pass.
Distance = Callable[[Tensor, Tensor], Tensor]


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of pixels, float32 [B]."""
    return (a - b).square().flatten(1).mean(1)


@dataclass(frozen=True)
class ImageTerm:
    """The picture is to be like another one.

    Attributes:
        images: float32 [N, 3, H, W] in [0, 1], of the generator's size.
        weight: of the distance.
        distance: `squared_error`, or a perceptual one.
        where: float32 [N, 1, H, W] in [0, 1], how much each pixel counts; None: all the same.
    """

    images: Tensor
    weight: float
    distance: Distance = squared_error
    where: Tensor | None = None

    def of_own(self, made: Tensor) -> Tensor:
        """float32 [S, N] of images [S * N, 3, H, W]."""
        times = len(made) // len(self.images)
        images = self.images.repeat(times, 1, 1, 1)
        if self.where is not None:
            where = self.where.repeat(times, 1, 1, 1)
            made, images = made * where, images * where
        return self.weight * self.distance(made, images).unflatten(0, (times, -1))

    def of_all(self, made: Tensor) -> Tensor:
        """float32 [B, N] of images [B, 3, H, W], each with every one of the N."""
        return torch.stack([self.of_own(one.expand_as(self.images))[0] for one in made])


class Objective:
    """The loss of each of N images, of which no one depends on another.

    - (weighted mean of the pairs' correlations) + the image terms. The generator's pass ends after the last layer that
    counts, unless the picture counts.
    """

    def __init__(
        self,
        generator: Network,
        targets: Sequence[Targets] = (),
        images: Sequence[ImageTerm] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        """Bring the targets to the generator's grids.

        Args:
            generator: on the device, its parameters without gradients.
            targets: of one model or several, of the same N images; none: only the picture counts.
            images: terms of the picture.
            device: where to work.

        Raises:
            InvalidRequest: when nothing is to be reached, or the terms are of different numbers of images.
        """
        counts = {one.images for one in targets} | {len(one.images) for one in images}
        if len(counts) != 1:
            raise InvalidRequest(f"targets and pictures are of as many images: {sorted(counts) or 'none'} came")
        self.count = counts.pop()
        self.generator, self.device, self._images = generator, torch.device(device), tuple(images)
        self._units = UnitTerm(targets, self._grids(targets), self.device) if targets else None
        self._to_maps = generator.to_maps or plain_maps

    def _grids(self, targets: Sequence[Targets]) -> dict[str, Grid]:
        layers = {pair.generator.layer for each in targets for layer in each.layers for pair in layer.pairs}
        known = dict(self.generator.module.named_modules())
        if unknown := sorted(layers - known.keys()):
            raise InvalidRequest(f"the generator has no layer '{unknown[0]}'", layer=unknown[0])
        space = self.generator.latents
        assert space is not None
        classes = None if space.classes is None else torch.zeros(1, dtype=torch.int64, device=self.device)
        probe = Latents(torch.zeros(1, space.dimensions, device=self.device), classes=classes)
        with torch.no_grad():
            _, maps = make(self.generator, probe, [layer for layer in known if layer in layers])
        return {layer: (values.shape[2], values.shape[3]) for layer, values in maps.items()}

    def losses(self, latents: Latents) -> tuple[Tensor, Tensor]:
        """Losses and correlations, float32 [S, N], of S latents for each image, given as [S * N, ...].

        The correlation is NaN where no units are asked for.
        """
        times = len(latents.values) // self.count
        units = self._units
        images, parts = self._pass(latents, units.of_own if units else None)
        correlation = torch.stack(parts).sum(0) if parts else None
        loss = torch.zeros(times, self.count, device=self.device) if correlation is None else -correlation
        for term in self._images:
            loss = loss + term.of_own(images)
        return loss, torch.full_like(loss, torch.nan) if correlation is None else correlation

    @torch.no_grad()
    def of_all(self, latents: Latents) -> Tensor:
        """Losses float32 [B, N] of each latent for every image."""
        units = self._units
        images, parts = self._pass(latents, units.of_all if units else None)
        loss = torch.zeros(len(latents.values), self.count, device=self.device)
        for part in parts:
            loss -= part
        for term in self._images:
            loss += term.of_all(images)
        return loss

    def _pass(self, latents: Latents, see: Callable[[str, Tensor], Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """The images, and what `see` makes of each layer's maps; no images where only the units count."""
        generator, units = self.generator, self._units
        assert generator.inputs is not None
        assert generator.images is not None
        found: list[Tensor] = []

        def keep(layer: str, output: Any) -> None:
            assert see is not None
            found.append(see(layer, self._to_maps(layer, output)))

        with Recorder(generator.module, units.layers if units else [], keep) as recorder:
            if not self._images:
                recorder.run(*generator.inputs(latents))
                return torch.empty(0), found
            return generator.images(recorder.run_whole(*generator.inputs(latents))), found
