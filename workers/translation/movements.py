"""Movements: which units, of the generator and of the networks that look at its images, a direction moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from workers.translation.chance import judge
from workers.translation.responses import Subject, look, make
from workers.zoo.base import Latents, Network


@dataclass(frozen=True)
class Movement:
    """How far K directions move U units (or concepts), beside random directions.

    Attributes:
        change: float64 [K, U], of the unit's mean over positions, in its deviations, with a step of one deviation.
        z: float64 [K, U], that in deviations of the same along random directions, whose mean is 0: either way counts.
        q_value: float32 [K, U], Benjamini-Hochberg over the units of one direction (`chance.judge`).
    """

    change: Tensor
    z: Tensor
    q_value: Tensor


class MovementSums:
    """Streaming central differences of units' mean activations: any split of the latents gives the same.

    (a(latent + s step) - a(latent - s step)) / 2 s, averaged over the latents.
    """

    def __init__(
        self,
        generator: Network,
        steps: Tensor,
        controls: Tensor,
        subjects: Sequence[Subject],
        sigma: float = 1.0,
        rows: int = 32,
    ) -> None:
        """Begin empty.

        Args:
            generator: whose latents.
            steps: float64 [K, D], one deviation along each direction.
            controls: float64 [R, D], the same along random ones (`LatentMoments.random`).
            subjects: whose units are watched; the generator may be one of them.
            sigma: s, deviations to each side.
            rows: most images at once.
        """
        self._generator, self._subjects, self._sigma, self._rows = generator, tuple(subjects), sigma, rows
        self._steps, self._directions = torch.cat([steps, controls]), len(steps)
        self.count = 0
        self._sums = [
            torch.zeros(len(self._steps), subject.layout.units, dtype=torch.float64) for subject in self._subjects
        ]

    @torch.inference_mode()
    def update(self, latents: Latents) -> None:
        """Take a batch of latents in, of the directions' space (w+ for w): 2 (K + R) passes each."""
        batch = len(latents.values)
        self.count += batch
        chunk = max(1, self._rows // (2 * batch))
        for first in range(0, len(self._steps), chunk):
            steps = self._steps[first : first + chunk]
            for sums, pooled in zip(self._sums, self._pooled(_both_ways(latents, steps * self._sigma)), strict=True):
                ahead, behind = pooled.double().cpu().unflatten(0, (2, len(steps), batch))
                sums[first : first + len(steps)] += (ahead - behind).sum(1) / (2 * self._sigma)

    def _pooled(self, latents: Latents) -> list[Tensor]:
        """Each subject's standardised units, averaged over positions: float32 [rows, U]."""
        layers = [[layer.name for layer in subject.layout.layers] for subject in self._subjects]
        inside = [subject.network is self._generator for subject in self._subjects]
        recorded = [layer for names, own in zip(layers, inside, strict=True) if own for layer in names]
        images, made = make(self._generator, latents, recorded)
        found = []
        for subject, names, own in zip(self._subjects, layers, inside, strict=True):
            maps = made if own else look(subject.network, images, names)
            found.append(torch.cat([subject.standardised(name, maps[name]).mean((2, 3)) for name in names], 1))
        return found

    def merge(self, other: MovementSums) -> Self:
        """Take in what `other` saw, of other latents."""
        self.count += other.count
        for mine, theirs in zip(self._sums, other._sums, strict=True):
            mine += theirs
        return self

    def result(self, subject: int, groups: Sequence[Sequence[int]] | None = None) -> Movement:
        """How the units of a subject move.

        Args:
            subject: its place.
            groups: unit numbers, such as those that a concept has of this network: then a group's movement is the mean
                of its units', held against the same mean along random directions. None: each unit by itself.
        """
        changes = self._sums[subject] / self.count
        if groups is not None:
            changes = torch.stack([changes[:, torch.tensor(group)].mean(1) for group in groups], 1)
        moved, controls = changes[: self._directions], changes[self._directions :]
        judged = [judge(row, controls, symmetric=True) for row in moved]
        return Movement(moved, torch.stack([one.z for one in judged]), torch.stack([one.q_value for one in judged]))


def _both_ways(latents: Latents, steps: Tensor) -> Latents:
    """The latents ahead along each step, then behind: 2 * K * B of them."""
    steps = steps.to(latents.values)
    moves = torch.stack([steps, -steps]).flatten(0, 1)[:, None]  # [2K, 1, D]
    if latents.space == "w+":
        moves = moves[:, :, None]
    values = (latents.values[None] + moves).flatten(0, 1)
    classes = None if latents.classes is None else latents.classes.repeat(2 * len(steps))
    return replace(latents, values=values, classes=classes)
