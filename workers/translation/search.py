"""How to look for a latent: plain numbers, a part of a recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rosetta.errors import InvalidRequest

RAMP_UP, RAMP_DOWN = 0.05, 0.5  # parts of all steps in which the rate grows, and in which it falls


@dataclass(frozen=True)
class Search:
    """How to look for a latent.

    Attributes:
        steps: evaluations of the loss, one an optimisation step.
        rate: of Adam, at its height, in deviations of the latents.
        draws: that are ranked to start from.
        starts: that each image starts from; after `scouting` steps its best one goes on alone.
        scouting: steps.
        prior: weight of the latents' mean square: how far from the centre they may lie.
        keep: weight of the mean square of how far they move from where they started.
    """

    steps: int = 200
    rate: float = 0.1
    draws: int = 256
    starts: int = 1
    scouting: int = 40
    prior: float = 0.02
    keep: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that are none."""
        if min(self.steps, self.draws, self.starts, self.scouting) < 1 or self.starts > self.draws:
            raise InvalidRequest("an inversion takes 1 step, draw and start or more, and no more starts than draws")
        if not (0 < self.rate < math.inf and 0 <= self.prior < math.inf and 0 <= self.keep < math.inf):
            raise InvalidRequest("an inversion's rate lies above 0, its prior and keep at 0 or above")

    def rate_at(self, step: int) -> float:
        """The learning rate: a rise, a plateau, half a cosine down (Karras et al. 2020, StyleGAN2, appendix D)."""
        done = (step + 1) / self.steps
        fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - step / self.steps) / RAMP_DOWN))
        return self.rate * min(1.0, done / RAMP_UP) * fall
