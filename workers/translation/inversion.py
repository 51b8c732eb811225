"""Rosetta-guided inversion: the latents whose images the matched units see as they see the given ones.

Dravid et al. 2023, "Rosetta Neurons", section 5; METHOD.md. Adam (Kingma and Ba 2015) on many images at once, each on
its own: an image's result depends on no other image of the batch. Nothing is drawn at random once it has started, so
that latents, moments and counts are the whole state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.translation.coordinates import Coordinates
from workers.translation.objective import Objective
from workers.translation.responses import make
from workers.translation.search import Search
from workers.translation.starts import DrawnStarts, GivenStarts, Starts
from workers.zoo.base import Latents

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Inverted:
    """What was found for N images, on the CPU.

    Attributes:
        latents: the best of each.
        images: float32 [N, 3, H, W] in [0, 1].
        loss, correlation: float32 [N], there; the correlation is NaN where no units were asked for.
        losses: float32 [steps, N], of the best start at each step.
        start: int64 [N], the number of the draw that led there.
        failed: bool [N]: every start met losses that are not finite; the best until then is kept, if there is one.
    """

    latents: Latents
    images: Tensor
    loss: Tensor
    correlation: Tensor
    losses: Tensor
    start: Tensor
    failed: Tensor


class Inversion:
    """N images on their way. Start, `run`; at any step, `state` is all there is to go on from.

    Every loss that is not finite, and every gradient, sends its start back to a new one: the next best draw.
    """

    def __init__(
        self,
        objective: Objective,
        coordinates: Coordinates,
        search: Search,
        start: Latents | None = None,
    ) -> None:
        """Choose the starts.

        Args:
            objective: of N images.
            coordinates: where to look.
            search: how.
            start: go on from these N latents; None: from draws.
        """
        self._objective, self._coordinates, self.search = objective, coordinates, search
        self._starts: Starts
        if start is None:
            self._starts = DrawnStarts(objective, coordinates, search.draws)
        else:
            self._starts = GivenStarts(coordinates, start)
        count, device = objective.count, objective.device
        rows = search.starts if start is None else 1
        shape = (rows, count, *coordinates.shape)
        self.step = 0
        self._v = torch.zeros(shape, device=device)
        self._origin = torch.zeros(shape, device=device)
        self._classes: Tensor | None = None
        self._number = torch.zeros(rows, count, dtype=torch.int64)
        self._taken = torch.zeros(count, dtype=torch.int64)  # starts that each image has used up
        self._moments = [torch.zeros(shape, device=device) for _ in BETAS]
        self._age = torch.zeros(rows, count, device=device)  # steps since its start
        self._dead = torch.zeros(rows, count, dtype=torch.bool)
        self._best = torch.full((rows, count), torch.inf, device=device)
        self._best_correlation = torch.full((rows, count), torch.nan, device=device)
        self._best_v = torch.zeros(shape, device=device)
        self._losses = torch.full((search.steps, count), torch.nan)
        for row in range(rows):
            for image in range(count):
                self._begin(row, image)
        self._best_v.copy_(self._v)
        self._best_classes = None if self._classes is None else self._classes.clone()
        self._best_number = self._number.clone()

    def _begin(self, row: int, image: int) -> None:
        """Send a row to its image's next start; without one, it is dead."""
        found = self._starts.take(image, int(self._taken[image]))
        if found is None:
            self._dead[row, image] = True
            return
        v, class_index, number = found
        self._taken[image] += 1
        self._v[row, image] = self._origin[row, image] = v
        if class_index is not None:
            if self._classes is None:
                self._classes = torch.zeros_like(self._age, dtype=torch.int64)
            self._classes[row, image] = class_index
        self._number[row, image] = number
        self._age[row, image] = 0
        for moment in self._moments:
            moment[row, image] = 0

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.step >= self.search.steps

    def run(self, watch: Callable[[Inversion], None] | None = None) -> Inverted:
        """Take all steps that are left.

        Args:
            watch: called after each step; may ask for `losses`, `images`, `state`.
        """
        with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
            while not self.done:
                self.advance()
                if watch is not None:
                    watch(self)
        return self.result()

    def advance(self) -> None:
        """Take a step: losses, the best kept, Adam."""
        search = self.search
        if self.step == search.scouting and len(self._v) > 1:
            self._keep_best_starts()
        v = self._v.detach().requires_grad_()
        latents = self._coordinates.latents(v.flatten(0, 1), None if self._classes is None else self._classes.flatten())
        loss, correlation = self._objective.losses(latents)
        inner = tuple(range(2, v.ndim))
        loss = loss + search.prior * v.square().mean(inner) + search.keep * (v - self._origin).square().mean(inner)
        (gradient,) = torch.autograd.grad(loss.sum(), v)
        with torch.no_grad():
            self._remember(loss, correlation)
            finite = loss.isfinite() & gradient.flatten(2).isfinite().all(2)
            self._update(torch.where(_wide(finite, gradient), gradient, 0.0))
            for row, image in (~(finite | self._dead.to(finite.device))).nonzero().tolist():
                self._begin(row, image)
        self.step += 1

    def _remember(self, loss: Tensor, correlation: Tensor) -> None:
        self._losses[self.step] = loss.nan_to_num(torch.inf).amin(0).cpu()
        better = loss < self._best
        self._best = torch.where(better, loss, self._best)
        self._best_correlation = torch.where(better, correlation, self._best_correlation)
        self._best_v = torch.where(_wide(better, self._v), self._v, self._best_v)
        self._best_number = torch.where(better.cpu(), self._number, self._best_number)
        if self._classes is not None:
            self._best_classes = torch.where(better, self._classes, self._best_classes)

    def _update(self, gradient: Tensor) -> None:
        """Adam, with a step count a row: some started later."""
        self._age += 1
        first, second = self._moments
        first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        corrected = [
            moment / _wide(1 - beta**self._age, moment) for moment, beta in zip(self._moments, BETAS, strict=True)
        ]
        self._v = self._v - self.search.rate_at(self.step) * corrected[0] / (corrected[1].sqrt() + EPSILON)

    def _keep_best_starts(self) -> None:
        best = self._best.argmin(0)
        images = torch.arange(len(best), device=best.device)

        def kept(values: Tensor) -> Tensor:
            return values[best.to(values.device), images.to(values.device)][None]

        for name in _BY_ROW:
            if (values := getattr(self, name)) is not None:
                setattr(self, name, kept(values))
        self._moments = [kept(moment) for moment in self._moments]

    def best(self) -> Latents:
        """The best latents so far."""
        place = self._best.argmin(0)
        images = torch.arange(len(place), device=place.device)
        classes = None if self._best_classes is None else self._best_classes[place, images]
        return self._coordinates.latents(self._best_v[place, images], classes)

    @torch.no_grad()
    def images(self) -> Tensor:
        """Their images, float32 [N, 3, H, W] in [0, 1], on the CPU."""
        return make(self._objective.generator, self.best())[0].cpu()

    @property
    def losses(self) -> Tensor:
        """float32 [steps so far, N], of each image's best start at each step."""
        return self._losses[: self.step]

    def result(self) -> Inverted:
        """What was found so far."""
        place = self._best.argmin(0)
        images = torch.arange(len(place), device=place.device)
        return Inverted(
            latents=self.best().to(torch.device("cpu")),
            images=self.images(),
            loss=self._best[place, images].cpu(),
            correlation=self._best_correlation[place, images].cpu(),
            losses=self.losses.clone(),
            start=self._best_number[place.cpu(), images.cpu()],
            failed=self._dead.all(0),
        )

    def state(self) -> dict[str, Any]:
        """All there is to go on from, for `torch.save`: copies of tensors, and a number."""
        tensors = {name: getattr(self, name) for name in (*_BY_ROW, *_OTHERS)}
        copies = {name: None if values is None else values.clone() for name, values in tensors.items()}
        return {"step": self.step, "moments": [moment.clone() for moment in self._moments], **copies}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same recipe.

        Raises:
            InvalidRequest: when it is of another number of images, steps or another latent space.
        """
        shape, losses = state["_v"].shape, state["_losses"].shape
        if shape[1:] != self._v.shape[1:] or losses != self._losses.shape:
            raise InvalidRequest(
                f"a state of {shape[1]} images, {losses[0]} steps and latents {list(shape[2:])} came, expected "
                f"{self._v.shape[1]}, {self.search.steps} and {list(self._v.shape[2:])}"
            )
        self.step = state["step"]
        self._moments = [moment.to(self._v.device).clone() for moment in state["moments"]]
        for name in (*_BY_ROW, *_OTHERS):
            own = getattr(self, name)
            setattr(self, name, None if state[name] is None else state[name].to(own.device).clone())


# What there is of each start of each image, [S, N, ...], and the rest.
_BY_ROW = (
    "_v",
    "_origin",
    "_classes",
    "_number",
    "_age",
    "_dead",
    "_best",
    "_best_correlation",
    "_best_v",
    "_best_classes",
    "_best_number",
)
_OTHERS = ("_taken", "_losses")


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))
