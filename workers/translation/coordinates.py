"""Latents as numbers around 0 with deviation 1, whatever the space: what inversion optimises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.probes import GeneratorProbes
from workers.zoo.base import Latents, Network

Space = Literal["z", "w", "w+"]

# Samples of w for its mean and deviation (Karras et al. 2020, StyleGAN2, appendix D), and how many at once.
SAMPLES, AT_ONCE = 10_000, 1_000


class Coordinates:
    """Latents = centre + scale * v. In z that is z itself; in w and w+ the mean w, and the deviation of w.

    With that, one learning rate and one prior, v normal, serve all spaces.
    """

    def __init__(
        self,
        network: Network,
        space: Space = "z",
        *,
        seed: int = 0,
        class_index: int | None = None,
        truncation: float | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Learn centre and scale.

        Args:
            network: a generator, on the device.
            space: w and w+ only of a generator with styles.
            seed: of all draws.
            class_index: of all draws; None: of a generator with classes, each draws its own.
            truncation: as `Latents.truncation`; none in w and w+, which are free.
            device: where to work.

        Raises:
            InvalidRequest: when the network is no generator, or has no such space, class or truncation.
        """
        if space != "z" and (network.latents is None or network.latents.styles is None):
            raise InvalidRequest(f"this generator has no {space}: invert in z", space=space)
        if space != "z" and truncation is not None:
            raise InvalidRequest(f"a truncation belongs to z: leave it out in {space}")
        self.space, self.network = space, network
        self._probes = GeneratorProbes(network, seed, 2**31, truncation, class_index)
        self._device = torch.device(device)
        assert network.latents is not None
        styles = network.latents.styles
        self.shape: tuple[int, ...] = (network.latents.dimensions,)
        self._centre = torch.zeros(self.shape, device=self._device)
        self._scale = torch.ones(self.shape, device=self._device)
        if space != "z":
            assert styles is not None
            self.shape = styles if space == "w+" else styles[1:]
            self._learn()

    @torch.no_grad()
    def _learn(self) -> None:
        chunks = [range(start, start + AT_ONCE) for start in range(0, SAMPLES, AT_ONCE)]
        w = torch.cat([self._styles(list(chunk))[0] for chunk in chunks])
        self._centre, self._scale = w.mean(0), w.std(0).clamp(min=1e-6)

    def _styles(self, indices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        drawn = self._probes.latents(indices).to(self._device)
        return self.network.module.mapping(drawn.values, drawn.classes), drawn.classes

    @torch.no_grad()
    def draw(self, indices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Draws by their numbers: v float32 [K, *shape], and classes int64 [K] of a generator with classes."""
        if self.space == "z":
            drawn = self._probes.latents(indices).to(self._device)
            return drawn.values, drawn.classes
        w, classes = self._styles(indices)
        v = (w - self._centre) / self._scale
        return (v[:, None].repeat(1, self.shape[0], 1) if self.space == "w+" else v), classes

    def latents(self, v: Tensor, classes: Tensor | None = None) -> Latents:
        """For the generator; gradients pass."""
        return Latents(self._centre + self._scale * v, self.space, classes, self._probes.truncation)

    def of(self, latents: Latents) -> Tensor:
        """v of latents.

        Raises:
            InvalidRequest: when they are another generator's, or of another space that does not lead here.
        """
        if latents.space == "z" != self.space:
            with torch.no_grad():
                w = self.network.module.mapping(latents.values.to(self._device), latents.classes)
                if latents.truncation is not None:
                    mean = self.network.module.mapping.mean(latents.classes)  # [W] or [N, 1, W]
                    w = mean.lerp(w[:, None], latents.truncation).squeeze(1)
            latents = replace(latents, values=w, space="w")
        values = latents.values.to(self._device)
        if latents.space == "w" and self.space == "w+" and values.ndim == 2:
            values = values[:, None].expand(-1, self.shape[0], -1)
        elif latents.space != self.space:
            raise InvalidRequest(f"a latent in {latents.space} cannot be brought to {self.space}")
        if tuple(values.shape[1:]) != self.shape:
            raise InvalidRequest(
                f"a latent of shape {list(values.shape[1:])} came: "
                f"this generator's are {list(self.shape)} in {self.space}"
            )
        return (values - self._centre) / self._scale
