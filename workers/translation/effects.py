"""Effects: what interventions in a generator's units cause, in its images and in the units of other networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from rosetta.errors import InvalidRequest
from workers.mining.resize import joint
from workers.translation.chance import judge
from workers.translation.interventions import Intervening, Intervention
from workers.translation.responses import look, make
from workers.zoo.base import Latents, Network

FIRES = 0.9  # a unit fires at its highest tenth of all positions


@dataclass(frozen=True)
class Watched:
    """Units of another network whose answers are watched.

    Attributes:
        network: looks at images.
        units: layer and channel of each.
        std: float64 [V], over the probe set; 0 or NaN: dead.
    """

    network: Network
    units: tuple[tuple[str, int], ...]
    std: Tensor

    def maps(self, images: Tensor) -> dict[str, tuple[list[int], Tensor]]:
        """By layer: the places of its units, and their maps float32 [B, units, H, W], in deviations."""
        by_layer: dict[str, list[int]] = {}
        for place, (layer, _) in enumerate(self.units):
            by_layer.setdefault(layer, []).append(place)
        found = look(self.network, images, list(by_layer))
        result = {}
        for layer, places in by_layer.items():
            scale = torch.where(self.std[places] > 0, 1 / self.std[places], torch.nan).to(images.device, torch.float32)
            maps = found[layer][:, [self.units[place][1] for place in places]].float()
            result[layer] = places, maps * scale[:, None, None]
        return result


@dataclass(frozen=True)
class Effects:
    """What K interventions caused in V watched units, and in the image where the units of the first M fire.

    Attributes:
        correlation: float64 [K, V], Pearson r, over images and positions, of what the intervention changed in its own
            unit and what changed in the watched one; both resized to the larger grid, as r of a match. NaN where
            either did not change, or changed by the same everywhere.
        response: float64 [K, V], how many of its deviations the watched unit changes along with one deviation of what
            the intervention changed: their covariance by the latter's deviation. Tells a strong cause from a weak one.
        mean_change: float64 [K, V], of the watched unit over images and positions, in its deviations.
        size: float64 [K, V], the root of the mean square of that change.
        inside: float64 [K, M], mean absolute change of the pixels where the unit of intervention m fired before, of
            images in [0, 1]. NaN where it never fired.
        outside: float64 [K, M], of all other pixels.
    """

    correlation: Tensor
    response: Tensor
    mean_change: Tensor
    size: Tensor
    inside: Tensor
    outside: Tensor


class EffectSums:
    """Streaming effects of interventions: any split of the latents gives the same."""

    def __init__(
        self,
        generator: Network,
        interventions: Sequence[Intervention],
        thresholds: Tensor,
        watched: Watched,
        rows: int = 32,
    ) -> None:
        """Begin empty.

        Args:
            generator: whose units are changed.
            interventions: K of them.
            thresholds: float [M], above which the unit of each of the first M <= K fires (`thresholds`).
            watched: the units of the other network.
            rows: most images at once.
        """
        self._generator, self._interventions, self._watched = generator, tuple(interventions), watched
        self._thresholds, self._rows = thresholds, rows
        assert generator.latents is not None
        self._size = generator.latents.height, generator.latents.width
        k, v, m = len(self._interventions), len(watched.units), len(thresholds)
        # Count, sums of x and y, of x^2, y^2 and xy: x is the change of the unit, y that of the watched one.
        self._moments = torch.zeros(6, k, v, dtype=torch.float64)
        self._inside = torch.zeros(2, k, m, dtype=torch.float64)  # sums of change, and pixels
        self._outside = torch.zeros(2, k, m, dtype=torch.float64)

    @torch.inference_mode()
    def update(self, latents: Latents) -> None:
        """Take a batch of latents in: each goes through the generator and the network K + 1 times."""
        layers = list(dict.fromkeys(one.layer for one in self._interventions))
        images, maps = make(self._generator, latents, layers)
        before = self._watched.maps(images)
        own = [maps[one.layer][:, one.channel].float() for one in self._interventions]
        fires = torch.stack(
            [
                _resized(one[:, None], self._size)[:, 0] > threshold
                for one, threshold in zip(own, self._thresholds.tolist(), strict=False)
            ]
        ).flatten(1)  # [M, B H W]
        batch = len(images)
        step = max(1, self._rows // batch)
        for first in range(0, len(own), step):
            chosen = range(first, min(first + step, len(own)))
            rows = [slice(place * batch, (place + 1) * batch) for place in range(len(chosen))]
            repeated = _repeated(latents, len(chosen))
            with Intervening(self._generator, [self._interventions[k] for k in chosen], rows):
                changed, _ = make(self._generator, repeated)
            self._see_images(chosen, (changed.unflatten(0, (-1, batch)) - images).abs().mean(2).flatten(1), fires)
            causes = [self._interventions[k].change(own[k], self._size) for k in chosen]
            self._see_units(chosen, causes, before, self._watched.maps(changed))

    def _see_images(self, chosen: range, change: Tensor, fires: Tensor) -> None:
        for sums, where in ((self._inside, fires), (self._outside, ~fires)):
            where = where.to(change)
            sums[0, chosen] += (change @ where.T).double().cpu()
            sums[1, chosen] += where.double().sum(1).cpu()

    def _see_units(
        self,
        chosen: range,
        causes: Sequence[Tensor],
        before: Mapping[str, tuple[list[int], Tensor]],
        after: Mapping[str, tuple[list[int], Tensor]],
    ) -> None:
        for layer, (places, answers) in after.items():
            was = before[layer][1]
            for k, cause, now in zip(chosen, causes, answers.unflatten(0, (-1, len(was))), strict=True):
                self._moments[:, k, places] += _moments(cause[:, None], now - was).cpu()

    def merge(self, other: EffectSums) -> Self:
        """Take in what `other` saw, of other latents."""
        for mine, theirs in (
            (self._moments, other._moments),
            (self._inside, other._inside),
            (self._outside, other._outside),
        ):
            mine += theirs
        return self

    def result(self) -> Effects:
        """The effects over all latents so far."""
        count, x, y, xx, yy, xy = self._moments
        var_x, var_y = xx - x * x / count, yy - y * y / count
        # What is left of a change that is the same everywhere is rounding.
        var_x = torch.where(var_x > 1e-10 * xx, var_x, torch.nan)
        var_y = torch.where(var_y > 1e-10 * yy, var_y, torch.nan)
        covariance = xy - x * y / count
        return Effects(
            correlation=covariance / (var_x * var_y).sqrt(),
            response=covariance / (var_x * count).sqrt(),
            mean_change=y / count,
            size=(yy / count).sqrt(),
            inside=self._inside[0] / self._inside[1],
            outside=self._outside[0] / self._outside[1],
        )


def _moments(cause: Tensor, answer: Tensor) -> Tensor:
    """float64 [6, V] of changes [B, 1, h, w] and [B, V, h', w'], resized to the larger grid."""
    grid = joint((cause.shape[2], cause.shape[3]), (answer.shape[2], answer.shape[3]))
    x = _resized(cause, grid).flatten().double()
    y = _resized(answer, grid).transpose(0, 1).flatten(1).double()
    count = x.new_full((len(y),), x.numel())
    ones = torch.ones_like(count)
    return torch.stack([count, x.sum() * ones, y.sum(1), (x @ x) * ones, y.square().sum(1), y @ x])


def _resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[2:]) == grid:
        return maps
    return F.interpolate(maps.float(), size=grid, mode="bilinear", align_corners=False)


def _repeated(latents: Latents, times: int) -> Latents:
    classes = None if latents.classes is None else latents.classes.repeat(times)
    return replace(latents, values=latents.values.repeat(times, *[1] * (latents.values.ndim - 1)), classes=classes)


@torch.inference_mode()
def thresholds(
    generator: Network, batches: Iterable[Latents], interventions: Sequence[Intervention], quantile: float = FIRES
) -> Tensor:
    """Above which activation each intervention's unit fires, float64 [K]: a quantile of its maps, at their own grid.

    Exact, so that the maps of the K units on all images are held in memory.

    Args:
        generator: whose units.
        batches: latents.
        interventions: K of them.
        quantile: part of the positions where a unit does not fire, in (0, 1).
    """
    if not 0 < quantile < 1:
        raise InvalidRequest(f"a quantile lies between 0 and 1: {quantile} does not")
    layers = list(dict.fromkeys(one.layer for one in interventions))
    seen: list[list[Tensor]] = [[] for _ in interventions]
    for latents in batches:
        _, maps = make(generator, latents, layers)
        for values, one in zip(seen, interventions, strict=True):
            values.append(maps[one.layer][:, one.channel].flatten().float().cpu())
    found = []
    for values in seen:
        positions = torch.cat(values)
        found.append(positions.kthvalue(max(1, round(quantile * len(positions)))).values)
    return torch.stack(found).double()


@dataclass(frozen=True)
class EffectScore:
    """Whether a match also causes what it correlates with: one intervention, and one watched unit.

    The same intervention in random other units of the layer is the control.

    Attributes:
        correlation: of the unit's change with the watched one's (`Effects.correlation`); NaN: nothing changed.
        control_correlation: the same of the controls, on average.
        response: of the watched unit (`Effects.response`).
        z: deviations of the controls' responses between that and their mean.
        q_value: of that, among all pairs scored together (`chance.judge`).
        mean_change: of the watched unit, in its deviations.
        size: root of the mean square of that change; `control_size`: of the controls, on average.
        inside, outside: mean absolute change of pixels where the unit fired, and of all others.
        control_inside, control_outside: of the controls, in the same places.
        controls: how many there are.
    """

    correlation: float
    control_correlation: float
    response: float
    z: float
    q_value: float
    mean_change: float
    size: float
    control_size: float
    inside: float
    outside: float
    control_inside: float
    control_outside: float
    controls: int


def scores(
    effects: Effects, pairs: Sequence[tuple[int, int]], controls: Mapping[int, Sequence[int]]
) -> list[EffectScore]:
    """The score of each pair.

    Args:
        effects: of the interventions asked for and of their controls.
        pairs: places of an intervention and of a watched unit.
        controls: places of the controls of each intervention.
    """
    if not pairs:
        return []
    most = max(len(controls[k]) for k, _ in pairs)
    null = torch.full((most, len(pairs)), torch.nan, dtype=torch.float64)
    for column, (k, v) in enumerate(pairs):
        null[: len(controls[k]), column] = effects.response[list(controls[k]), v]
    judged = judge(torch.stack([effects.response[pair] for pair in pairs]), null)
    result = []
    for column, (k, v) in enumerate(pairs):
        others = torch.tensor(controls[k], dtype=torch.int64)
        result.append(
            EffectScore(
                correlation=float(effects.correlation[k, v]),
                control_correlation=float(effects.correlation[others, v].nanmean()),
                response=float(effects.response[k, v]),
                z=float(judged.z[column]),
                q_value=float(judged.q_value[column]),
                mean_change=float(effects.mean_change[k, v]),
                size=float(effects.size[k, v]),
                control_size=float(effects.size[others, v].mean()),
                inside=float(effects.inside[k, k]),
                outside=float(effects.outside[k, k]),
                control_inside=float(effects.inside[others, k].mean()),
                control_outside=float(effects.outside[others, k].mean()),
                controls=len(others),
            )
        )
    return result
