"""Where inversion starts: for each image the best of many draws, and after a failure the next best."""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch
from torch import Tensor

from workers.translation.coordinates import Coordinates
from workers.translation.objective import Objective
from workers.zoo.base import Latents

# Draws in one pass: so many, and so many pixels. It decides how sums round, so it is fixed.
MOST, PIXELS = 64, 2**20

Start = tuple[Tensor, Tensor | None, int]  # v float32 [*shape], class int64 [], and its number


class Starts(Protocol):
    """Places to start from, for each image in an order of its own."""

    def take(self, image: int, place: int) -> Start | None:
        """The start of that place for an image, 0 the best; None: there are no more."""
        ...


class DrawnStarts:
    """Draws, the same for all images, ranked for each by the loss there: an image's own do not depend on the others.

    One pass of the generator a draw, without gradients, serves all images; and where classes are drawn with it, it
    searches the class.
    """

    def __init__(self, objective: Objective, coordinates: Coordinates, draws: int) -> None:
        """Draw and rank.

        Args:
            objective: of N images.
            coordinates: to draw in.
            draws: how many, K.
        """
        space = coordinates.network.latents
        assert space is not None
        at_once = max(1, min(MOST, PIXELS // (space.height * space.width)))
        v, classes, losses = [], [], []
        for start in range(0, draws, at_once):
            drawn, of = coordinates.draw(range(start, min(draws, start + at_once)))
            losses.append(objective.of_all(coordinates.latents(drawn, of)))
            v.append(drawn)
            classes.append(of)
        self._v = torch.cat(v)
        self._classes = None if classes[0] is None else torch.cat([one for one in classes if one is not None])
        # A loss that is not finite goes last, and so is only taken where nothing else is left.
        self._order = torch.cat(losses).nan_to_num(torch.inf, torch.inf, torch.inf).argsort(dim=0, stable=True).T.cpu()

    def take(self, image: int, place: int) -> Start | None:
        """The draw of that rank."""
        if place >= len(self._v):
            return None
        number = int(self._order[image, place])
        return self._v[number], None if self._classes is None else self._classes[number], number


class GivenStarts:
    """Latents to go on from, such as inverted ones; after a failure, near them."""

    TRIES, NEAR = 4, 0.1  # deviations

    def __init__(self, coordinates: Coordinates, latents: Latents, seed: int = 0) -> None:
        """Take them.

        Args:
            coordinates: where to work.
            latents: one an image.
            seed: of what is near.
        """
        self._v, self._seed = coordinates.of(latents), seed
        self._classes = None if latents.classes is None else latents.classes.to(self._v.device)

    def take(self, image: int, place: int) -> Start | None:
        """The image's own first, then others near it."""
        if place >= self.TRIES:
            return None
        v = self._v[image]
        if place:
            digest = hashlib.sha256(f"{self._seed}:{place}:{v.cpu().numpy().tobytes().hex()}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
            v = v + self.NEAR * torch.randn(v.shape, generator=generator).to(v)
        return v, None if self._classes is None else self._classes[image], place
