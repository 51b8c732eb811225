"""Equivalents: the units of one model told from the matched units of another, and how much of them that explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from rosetta.errors import InvalidRequest
from workers.mining.errors import NonFiniteError
from workers.mining.resize import Grid
from workers.translation.normal_equations import NormalEquations
from workers.translation.responses import Subject, standardise

RIDGE = 0.01
Method = Literal["best", "ridge"]


@dataclass(frozen=True)
class Partners:
    """The units of a source model that match units of a target model, the best first.

    Attributes:
        units: int64 [V], numbers of the target's units.
        index: int64 [V, k], numbers of the source's units; -1: none.
        correlation: float [V, k], Pearson r; NaN: none.
    """

    units: Tensor
    index: Tensor
    correlation: Tensor

    def among(self, sources: Sequence[int]) -> Partners:
        """Only matches with the named units of the source, and only the units of the target that have one."""
        there = torch.isin(self.index, torch.tensor(sources, dtype=torch.int64))
        first = (~there).int().argsort(dim=1, stable=True)
        there = there.gather(1, first)
        index = torch.where(there, self.index.gather(1, first), -1)
        correlation = torch.where(there, self.correlation.gather(1, first), torch.nan)
        return Partners(self.units, index, correlation).matched()

    def matched(self) -> Partners:
        """Only the units of the target that have a match: a dead one has none.

        Raises:
            InvalidRequest: when there is no such unit.
        """
        kept = (self.index >= 0).any(1)
        if not kept.any():
            raise InvalidRequest("these models share no such unit: there is nothing to tell one from")
        return Partners(self.units[kept], self.index[kept], self.correlation[kept])


@dataclass(frozen=True)
class Explained:
    """R^2 on held-out images, float64 [V] each: the part of a unit's variance that is told; below 0: none.

    NaN of a unit that is dead there. What is told of the same units from permuted images is chance, which keeps what
    the units' places alone tell ("both fire in the middle").

    Attributes:
        best: from the best match, scaled by r.
        ridge: from all k matches.
        chance_best, chance_ridge: the same from permuted images.
        best_total, ridge_total, chance_best_total, chance_ridge_total: of all units together, each in its deviations.
    """

    best: Tensor
    ridge: Tensor
    chance_best: Tensor
    chance_ridge: Tensor
    best_total: float
    ridge_total: float
    chance_best_total: float
    chance_ridge_total: float


@dataclass(frozen=True)
class Translation:
    """From a source model's units to a target's.

    Attributes:
        partners: whom each unit is told from.
        weights: float64 [V, k], of the ridge regression, everything in deviations.
        intercept: float64 [V].
        pooled: whether it tells means over positions instead of maps.
        explained: on held-out images.
        images: how many it was fitted on.
        held_out: how many it was tested on.
    """

    partners: Partners
    weights: Tensor
    intercept: Tensor
    pooled: bool
    explained: Explained
    images: int
    held_out: int

    def apply(
        self, source: Subject, target: Subject, maps: Mapping[str, Tensor], method: Method = "ridge"
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """The target's units, told from the source's.

        Args:
            source: the model whose maps are given.
            target: the model whose units are told.
            maps: float [B, C, H, W] by layer of the source, as the model gives them; of means, 1 x 1 maps.
            method: `best`: mean + std r (u - source mean) / source std; `ridge`: all k matches.

        Returns:
            By layer of the target: unit numbers int64 [V], and their maps float32 [B, V, H, W] at the layer's own grid
            (1 x 1 of means), as the model would give them.
        """
        weights, intercept = (
            (self.weights, self.intercept) if method == "ridge" else _best(self.partners.correlation.double())
        )
        told = {}
        for layer in _arranged(target, self.partners, pooled=self.pooled):
            x = _predictors(source, maps, self.partners.index[layer.rows], layer.grid, pooled=self.pooled)
            values = torch.einsum("bvkp,vk->bvp", x, weights[layer.rows].to(x))
            values += intercept[layer.rows].to(x)[:, None]
            units = self.partners.units[layer.rows]
            std, mean = (column[units].nan_to_num().to(x)[:, None] for column in (target.std, target.mean))
            told[layer.name] = units, (values * std + mean).unflatten(2, layer.grid)
        return told


@dataclass(frozen=True)
class _Layer:
    """A layer of the target: the rows of `Partners` that are its units, their channels, and where they are told."""

    name: str
    rows: Tensor
    channels: Tensor
    grid: Grid


def _arranged(target: Subject, partners: Partners, *, pooled: bool) -> list[_Layer]:
    layers = []
    for shape in target.layout.layers:
        at = target.units[shape.name]
        rows = ((partners.units >= at.start) & (partners.units < at.stop)).nonzero()[:, 0]
        if len(rows):
            grid = (1, 1) if pooled else (shape.height, shape.width)
            layers.append(_Layer(shape.name, rows, partners.units[rows] - at.start, grid))
    return layers


def _predictors(source: Subject, maps: Mapping[str, Tensor], index: Tensor, grid: Grid, *, pooled: bool) -> Tensor:
    """float32 [B, V, k, positions]: the standardised matches of each unit at the target's grid; 0 for none."""
    wanted = index[index >= 0].unique()
    places = torch.searchsorted(wanted, index.clamp(min=int(wanted[0])))
    columns: list[Tensor] = []
    for layer, at in source.units.items():  # unit numbers ascend through the layers, as `wanted` does
        units = wanted[(wanted >= at.start) & (wanted < at.stop)]
        if len(units):
            if layer not in maps:
                raise InvalidRequest(f"the translation takes the maps of layer '{layer}' as well", layer=layer)
            own = standardise(maps[layer][:, units - at.start], source.mean[units], source.std[units])
            columns.append(_resized(own, grid, pooled=pooled).flatten(2))
    there = (index >= 0).to(columns[0])[..., None]
    return torch.cat(columns, 1)[:, places] * there


def _resized(maps: Tensor, grid: Grid, *, pooled: bool) -> Tensor:
    """Maps at a grid: means over positions where they are pooled; a larger map is averaged, not sampled."""
    if pooled:
        return maps.mean((2, 3), keepdim=True)
    if tuple(maps.shape[2:]) == grid:
        return maps
    return F.interpolate(maps, size=grid, mode="bilinear", align_corners=False, antialias=True)


def _best(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and intercept of the best match scaled by r: in deviations, v = r u."""
    weights = torch.zeros_like(correlation)
    weights[:, 0] = correlation[:, 0].nan_to_num()
    return weights, torch.zeros(len(correlation), dtype=torch.float64)


def held_out(count: int, share: float, seed: int) -> Tensor:
    """Which images of a probe set are kept for the test, bool [count]: `share` of them, at random by the seed.

    Raises:
        InvalidRequest: when none would be left on either side.
    """
    tested = round(share * count)
    if not 0 < tested < count:
        raise InvalidRequest(f"a test needs images to fit and others to test on: {share:g} of {count} leaves none")
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:tested]] = True
    return mask


class TranslationSums:
    """Streaming regressions of a target's units on their matches: any split of the images gives the same.

    Fit and test take the same sums, of other images. For chance, each image's units are told from the image of its
    side that was visited just before: visit them in a random order, and merge what saw whole runs of it.
    """

    def __init__(
        self, source: Subject, target: Subject, partners: Partners, held_out: Tensor, *, pooled: bool = False
    ) -> None:
        """Begin empty.

        Args:
            source: the model to translate from.
            target: the model to translate to.
            partners: matches; those that were found on the held-out images as well are a little too good for the test.
            held_out: bool [N], which images of the probe set are for the test (`held_out`).
            pooled: tell means over positions instead of maps.
        """
        partners = partners.matched()
        self._source, self._target, self._partners = source, target, partners
        self._held_out, self._pooled = held_out, pooled
        self._layers = _arranged(target, partners, pooled=pooled)
        v, k = partners.index.shape
        # Fit and test, of true pairs of images and of permuted ones.
        self._true = [NormalEquations(v, k) for _ in range(2)]
        self._chance = [NormalEquations(v, k) for _ in range(2)]
        self._images = [0, 0]
        self._last: dict[tuple[int, str], Tensor] = {}

    @torch.inference_mode()
    def update(
        self, positions: Sequence[int], source_maps: Mapping[str, Tensor], target_maps: Mapping[str, Tensor]
    ) -> None:
        """Take a batch in.

        Args:
            positions: of the images, in the probe set.
            source_maps, target_maps: float [B, C, H, W] by layer, as the models give them.

        Raises:
            NonFiniteError: naming model, layer and image.
        """
        sides = [int(self._held_out[position]) for position in positions]
        for side in sides:
            self._images[side] += 1
        for layer in self._layers:
            x = _predictors(
                self._source, source_maps, self._partners.index[layer.rows], layer.grid, pooled=self._pooled
            )
            units = self._partners.units[layer.rows]
            maps = target_maps[layer.name][:, layer.channels]
            y = standardise(maps, self._target.mean[units], self._target.std[units])
            y = _resized(y, layer.grid, pooled=self._pooled).flatten(2)
            for side, position, predictors, answers in zip(sides, positions, x, y, strict=True):
                if not (predictors.isfinite().all() and answers.isfinite().all()):
                    models = f"{self._source.layout.name} or {self._target.layout.name}"
                    raise NonFiniteError(models, layer.name, position)
                self._true[side].update(layer.rows, predictors, answers)
                before = self._last.get((side, layer.name))
                if before is not None:
                    self._chance[side].update(layer.rows, before, answers)
                self._last[side, layer.name] = predictors

    def merge(self, other: TranslationSums) -> Self:
        """Take in what `other` saw, of other images."""
        for mine, theirs in zip(self._true + self._chance, other._true + other._chance, strict=True):
            mine.merge(theirs)
        self._images = [mine + theirs for mine, theirs in zip(self._images, other._images, strict=True)]
        return self

    def result(self, ridge: float = RIDGE) -> Translation:
        """The translation fitted on one side, and what it explains on the other.

        Args:
            ridge: of the mean variance of a unit's matches.

        Raises:
            InvalidRequest: when a side has no two images, or the ridge is below 0.
        """
        if min(self._images) < 2:
            raise InvalidRequest(
                "a translation is fitted on two or more images and tested on two or more others: "
                f"{self._images[0]} and {self._images[1]} came"
            )
        if not 0 <= ridge < torch.inf:
            raise InvalidRequest(f"a ridge is 0 or more: {ridge} is not")
        weights, intercept = self._true[0].solve(ridge)
        best = _best(self._partners.correlation.double())
        chance = self._chance[0].solve(ridge)
        found = [
            self._true[1].explained(*best),
            self._true[1].explained(weights, intercept),
            self._chance[1].explained(*best),
            self._chance[1].explained(*chance),
        ]
        explained = Explained(*(by_unit for by_unit, _ in found), *(total for _, total in found))
        return Translation(self._partners, weights, intercept, self._pooled, explained, *self._images)
