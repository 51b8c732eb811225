"""How well a generator's units correlate with the targets: exact, differentiable, at the generator's own grids.

Correlation is defined at the larger grid of the two, axis by axis, to which both maps are resized bilinearly; but as
in mining, nobody builds a resized map there: `<Ug, Vd> = <g, U'Vd>` and `|Ug|^2 = g'(U'U)g`, where U resizes the
generator's maps and V the targets'. So every target is brought to its unit's grid once, before the first step, and the
targets of all pairs that share a unit and a grid are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.mining.resize import Grid, bilinear_matrix, joint
from workers.translation.targets import LayerTargets, Targets

# Deviations. A map that hardly differs from the unit's mean has no direction: this keeps noise from becoming one.
FLOOR = 0.05


@dataclass(frozen=True)
class _Units:
    """Units of one layer of the generator, C of them: what to read, and how to standardise it."""

    channels: Tensor  # int64 [C]
    mean: Tensor  # float32 [C, 1, 1]
    scale: Tensor  # float32 [C, 1, 1], 1 / std

    def read(self, maps: Tensor) -> Tensor:
        """A copy of these units of the layer's maps [B, channels, H, W], in deviations: float32 [B, C, H, W]."""
        return maps.index_select(1, self.channels).float().contiguous().sub_(self.mean).mul_(self.scale)


@dataclass(frozen=True)
class _Group:
    """Pairs of one layer of the generator whose correlations are taken at the same grid.

    Attributes:
        chosen: int64 [C], places of their units among those read of the layer; None: all of them.
        targets: float32 [N, C, h, w]: the weighted sum of the pairs' targets, brought to the generator's grid.
        gram: U'U of both axes, float32 [h, h] and [w, w]; None: the grid is the generator's own.
        cells: of the grid where correlation is taken.
    """

    chosen: Tensor | None
    targets: Tensor
    gram: tuple[Tensor, Tensor] | None
    cells: int


class UnitTerm:
    """The weighted mean of all pairs' correlations, per image: the sum of what each layer of the generator gives.

    Correlation of a pair in an image is `<g, d> / (|g| |d|)`, both maps in deviations from the probe set's means
    (METHOD.md): it says where a unit fires, and whether it fires more than it mostly does.
    """

    def __init__(self, targets: Sequence[Targets], grids: Mapping[str, Grid], device: torch.device) -> None:
        """Bring the targets to the generator's grids.

        Args:
            targets: of one or several models, of the same N images.
            grids: of the generator's layers that the pairs name.
            device: where to work.
        """
        layers = [layer for each in targets for layer in each.layers]
        total = sum(pair.weight for layer in layers for pair in layer.pairs)
        self._layers: dict[str, tuple[_Units, list[_Group]]] = {}
        for name, grid in grids.items():
            mine = [
                (layer, place)
                for layer in layers
                for place, pair in enumerate(layer.pairs)
                if pair.generator.layer == name
            ]
            if not mine:
                continue
            sides = {layer.pairs[place].generator.channel: layer.pairs[place].generator for layer, place in mine}
            order = {channel: place for place, channel in enumerate(sorted(sides))}
            ordered = [sides[channel] for channel in order]
            units = _Units(
                torch.tensor(list(order), device=device),
                torch.tensor([side.mean for side in ordered], device=device)[:, None, None],
                torch.tensor([1 / side.std for side in ordered], device=device)[:, None, None],
            )
            by_grid: dict[Grid, list[tuple[LayerTargets, int]]] = {}
            for layer, place in mine:
                by_grid.setdefault(joint(grid, (layer.maps.shape[2], layer.maps.shape[3])), []).append((layer, place))
            self._layers[name] = (
                units,
                [_group(grid, common, members, order, total, device) for common, members in by_grid.items()],
            )

    @property
    def layers(self) -> list[str]:
        """Of the generator, that have to be read."""
        return list(self._layers)

    def of_own(self, layer: str, maps: Tensor) -> Tensor:
        """What a layer gives, float32 [S, N], of S generated images for each of the N: its maps [S * N, C, h, w].

        Gradients pass. The maps are not kept, so whoever comes after may overwrite them.
        """
        return _Correlation.apply(maps, *self._layers[layer])

    @torch.no_grad()
    def of_all(self, layer: str, maps: Tensor) -> Tensor:
        """What a layer gives, float32 [B, N], of B generated images for every one of the N: its maps [B, C, h, w]."""
        units, groups = self._layers[layer]
        read = units.read(maps)
        return torch.stack([_normed(read, group) @ group.targets.flatten(1).T for group in groups]).sum(0)


def _normed(read: Tensor, group: _Group) -> Tensor:
    own, _, inverse = _measured(read, group)
    return (own * inverse[:, :, None, None]).flatten(1)


def _measured(read: Tensor, group: _Group) -> tuple[Tensor, Tensor, Tensor]:
    """The group's units, what the Gram matrices make of them, and the inverse of their norms [B, C]."""
    own = read if group.chosen is None else read.index_select(1, group.chosen)
    resized = own if group.gram is None else group.gram[0] @ (own @ group.gram[1])
    square = torch.linalg.vecdot(own.flatten(2), resized.flatten(2)) / group.cells
    return own, resized, (square + FLOOR**2).rsqrt()


class _Correlation(torch.autograd.Function):
    """Correlations of a layer, with the gradient in closed form: autograd would go over the maps many times more.

    With `c = <g, t> / n` and `n^2 = g'Ag / cells + FLOOR^2`: `dc/dg = t / n - c / (n^2 cells) Ag`.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, units: _Units, groups: list[_Group]) -> Tensor:
        read = units.read(maps)
        gradient = torch.zeros_like(read)
        found = []
        for group in groups:
            own, resized, inverse = _measured(read, group)
            # [S, N, C, h, w] against [N, C, h, w]
            starts = (-1, len(group.targets))
            products = (own.unflatten(0, starts) * group.targets).sum((3, 4)).flatten(0, 1)
            correlation = products * inverse
            found.append(correlation.sum(1).unflatten(0, starts))
            slope = resized * (-correlation * inverse.square() / group.cells)[:, :, None, None]
            slope.unflatten(0, starts).addcmul_(
                group.targets.expand(slope.unflatten(0, starts).shape),
                inverse[:, :, None, None].unflatten(0, starts),
            )
            if group.chosen is None:
                gradient += slope
            else:
                gradient.index_add_(1, group.chosen, slope)
        ctx.units, ctx.like = units, (maps.shape, maps.dtype, maps.is_contiguous(memory_format=torch.channels_last))
        ctx.save_for_backward(gradient)
        return torch.stack(found).sum(0)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        shape, dtype, last = ctx.like
        format_ = torch.channels_last if last else torch.contiguous_format
        whole = torch.empty(shape, dtype=dtype, device=gradient.device, memory_format=format_).zero_()
        scaled = gradient * ctx.units.scale * upstream.flatten()[:, None, None, None]
        whole.index_copy_(1, ctx.units.channels, scaled.to(dtype))
        return whole, None, None


def _group(
    grid: Grid,
    common: Grid,
    members: list[tuple[LayerTargets, int]],
    order: Mapping[int, int],
    total: float,
    device: torch.device,
) -> _Group:
    """The pairs of a layer of the generator whose correlations are taken at the grid `common`.

    Args:
        grid: of the layer.
        common: of the correlations.
        members: the pairs, as targets and place in them.
        order: channel of the generator to its place among those read.
        total: of all pairs' weights.
        device: where to work.
    """
    units = [order[layer.pairs[place].generator.channel] for layer, place in members]
    channels = sorted(set(units))
    targets = torch.zeros(members[0][0].maps.shape[0], len(channels), *grid, device=device)
    for (layer, place), unit in zip(members, units, strict=True):
        weight = layer.pairs[place].weight / total
        targets[:, channels.index(unit)] += weight * _brought(layer.maps[:, place].to(device), grid, common)
    gram = None if grid == common else _gram(grid, common, device)
    chosen = None if len(channels) == len(order) else torch.tensor(channels, device=device)
    return _Group(chosen, targets, gram, common[0] * common[1])


def _gram(grid: Grid, common: Grid, device: torch.device) -> tuple[Tensor, Tensor]:
    """U'U of both axes, float32."""
    rows, columns = (bilinear_matrix(own, size) for own, size in zip(grid, common, strict=True))
    return (rows.T @ rows).to(device, torch.float32), (columns.T @ columns).to(device, torch.float32)


def _brought(maps: Tensor, grid: Grid, common: Grid) -> Tensor:
    """`U'Vd / |Vd|` of targets d, float32 [N, h, w]: their product with a map of that grid, over the cells.

    Args:
        maps: float32 [N, H, W].
        grid: of the generator's layer, which U resizes.
        common: of the correlation, to which V resizes the targets.
    """
    own = (maps.shape[1], maps.shape[2])
    cells = common[0] * common[1]
    gram = _gram(own, common, maps.device)
    square = (maps * (gram[0] @ maps @ gram[1])).sum((1, 2), keepdim=True) / cells
    rows, columns = (
        (bilinear_matrix(a, size).T @ bilinear_matrix(b, size)).to(maps)
        for a, b, size in zip(grid, own, common, strict=True)
    )
    return rows @ maps @ columns.T / cells * (square + FLOOR**2).rsqrt()
