"""Interventions: units of a generator that are made to fire less, more or not at all, while it runs.

Bau et al. 2019, "GAN Dissection", section 3.2: a unit's map is forced in a region, and the image shows what it causes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo.base import Network
from workers.zoo.maps import plain_maps

# x, y, width, height in pixels of the generator's images, from the upper left corner.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Intervention:
    """A unit's map x becomes `scale * x + shift`, in a box or everywhere.

    Attributes:
        layer: a module path of the generator.
        channel: the unit's, in that layer.
        scale, shift: finite; the shift in the unit's own activation.
        box: where, in pixels of the image; a cell of the layer's grid that it covers in part changes in part.
            None: everywhere.
    """

    layer: str
    channel: int
    scale: float = 0.0
    shift: float = 0.0
    box: Box | None = None

    @classmethod
    def zero(cls, layer: str, channel: int, box: Box | None = None) -> Self:
        """The unit does not fire."""
        return cls(layer, channel, 0.0, 0.0, box)

    @classmethod
    def set(cls, layer: str, channel: int, value: float, box: Box | None = None) -> Self:
        """The unit fires with `value`, whatever the image."""
        return cls(layer, channel, 0.0, value, box)

    @classmethod
    def boost(cls, layer: str, channel: int, factor: float, box: Box | None = None) -> Self:
        """The unit fires `factor` times as much where it fires."""
        return cls(layer, channel, factor, 0.0, box)

    @classmethod
    def add(cls, layer: str, channel: int, amount: float, box: Box | None = None) -> Self:
        """The unit fires `amount` more."""
        return cls(layer, channel, 1.0, amount, box)

    def change(self, maps: Tensor, image: tuple[int, int]) -> Tensor:
        """What is added to the unit's maps.

        Args:
            maps: float [..., H, W], the unit's, before.
            image: height and width of the generator's images, pixels.
        """
        change = (self.scale - 1) * maps + self.shift
        return change if self.box is None else change * coverage(self.box, image, tuple(maps.shape[-2:])).to(maps)


def coverage(box: Box, image: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Which part of each cell of a grid a box covers, float32 [H, W] in [0, 1].

    Args:
        box: in pixels of the image.
        image: height and width, pixels.
        grid: H, W; its cells tile the image.
    """
    x, y, width, height = box
    rows = _covered(y * grid[0] / image[0], (y + height) * grid[0] / image[0], grid[0])
    columns = _covered(x * grid[1] / image[1], (x + width) * grid[1] / image[1], grid[1])
    return torch.outer(rows, columns).float()


def _covered(low: float, high: float, cells: int) -> Tensor:
    """The part of each unit interval [i, i + 1] that [low, high] covers, float64 [cells]."""
    edges = torch.arange(cells + 1, dtype=torch.float64).clamp(low, high)
    return edges.diff()


class Intervening:
    """While entered, every pass of a generator runs with the interventions.

    Hooks attach on `__enter__` and always detach. Several interventions in a unit follow each other. A module that is
    called several times in one pass is changed at its first call, where its units are recorded, too. Gradients pass.
    """

    def __init__(
        self, generator: Network, interventions: Sequence[Intervention], rows: Sequence[Any] | None = None
    ) -> None:
        """Attach nothing yet.

        Args:
            generator: whose units.
            interventions: what to do.
            rows: for each intervention, which images of the batch it changes: anything that indexes them. None: all.

        Raises:
            InvalidRequest: when there is no such layer, a number is not finite, or a box lies outside the image.
        """
        if generator.latents is None:
            raise InvalidRequest("this model is no generator: its units cannot be changed to see what they cause")
        self._image = generator.latents.height, generator.latents.width
        self._module = generator.module
        self._to_maps = generator.to_maps or plain_maps
        named = dict(generator.module.named_modules())
        self._by_layer: dict[str, list[tuple[Intervention, Any]]] = {}
        for place, intervention in enumerate(interventions):
            _check(intervention, named, self._image)
            which = slice(None) if rows is None else rows[place]
            self._by_layer.setdefault(intervention.layer, []).append((intervention, which))
        self._targets = {layer: named[layer] for layer in self._by_layer}
        self._handles: list[Any] = []
        self._pending: set[str] = set()

    def __enter__(self) -> Self:
        """Attach the hooks."""
        self._handles.append(self._module.register_forward_pre_hook(self._begin))
        for layer, target in self._targets.items():
            self._handles.append(target.register_forward_hook(self._hook(layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Detach the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _begin(self, _module: nn.Module, _inputs: Any) -> None:
        self._pending = set(self._targets)

    def _hook(self, layer: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            if layer not in self._pending:
                return None
            self._pending.discard(layer)
            return self._changed(layer, output)

        return hook

    def _changed(self, layer: str, output: Any) -> Tensor:
        changed = output.clone() if isinstance(output, Tensor) else output
        maps = self._to_maps(layer, changed)  # refuses what is no tensor
        if maps.untyped_storage().data_ptr() != changed.untyped_storage().data_ptr():
            raise InvalidRequest(f"the maps of layer '{layer}' are made from its output: no unit of it can be changed")
        for intervention, rows in self._by_layer[layer]:
            if intervention.channel >= maps.shape[1]:
                raise InvalidRequest(
                    f"layer '{layer}' has channels 0 to {maps.shape[1] - 1}, and none {intervention.channel}",
                    layer=layer,
                )
            unit = maps[:, intervention.channel]
            unit[rows] = unit[rows] + intervention.change(unit[rows], self._image)
        return changed


def _check(intervention: Intervention, named: dict[str, nn.Module], image: tuple[int, int]) -> None:
    if intervention.layer not in named:
        raise InvalidRequest(f"the generator has no layer '{intervention.layer}'", layer=intervention.layer)
    if intervention.channel < 0:
        raise InvalidRequest(f"channels count from 0: {intervention.channel} is none")
    box = intervention.box
    numbers = (intervention.scale, intervention.shift, *(box or ()))
    if not all(torch.tensor(numbers, dtype=torch.float64).isfinite()):
        raise InvalidRequest(f"an intervention takes finite numbers, not {numbers}")
    if box is None:
        return
    x, y, width, height = box
    if width <= 0 or height <= 0 or x < 0 or y < 0 or x + width > image[1] or y + height > image[0]:
        raise InvalidRequest(
            f"a box lies inside the image, {image[1]} x {image[0]} pixels, and has an area: {width:g} x {height:g} "
            f"at ({x:g}, {y:g}) does not"
        )


def controls(
    interventions: Sequence[Intervention], std: dict[str, Tensor], count: int, seed: int
) -> tuple[list[Intervention], list[tuple[int, ...]]]:
    """The same interventions in random other units of their layers, and which of them control each intervention.

    Interventions of one kind in one layer share their controls. A shift counts in deviations of the unit that it
    falls on. None of the units asked for is a control, nor is a dead one.

    Args:
        interventions: what is to be held against chance.
        std: float64 [C] by layer, the deviation of each unit over the probe set; 0 or NaN: dead.
        count: controls of each, at most: a layer may have fewer units.
        seed: of the draw.

    Returns:
        The controls, and for each intervention the places of its own among them.
    """
    generator = torch.Generator().manual_seed(seed)
    kinds: dict[tuple[Any, ...], tuple[int, ...]] = {}
    found: list[Intervention] = []
    asked: dict[str, set[int]] = {}
    for one in interventions:
        asked.setdefault(one.layer, set()).add(one.channel)
    places = []
    for one in interventions:
        own = float(std[one.layer][one.channel])
        unit = own if own > 0 else 1.0
        # Rounded: the same number of deviations is one kind, whatever unit it was worked out for.
        kind = (one.layer, one.scale, float(f"{one.shift / unit:.12g}"), one.box)
        if kind not in kinds:
            order = torch.randperm(len(std[one.layer]), generator=generator).tolist()
            others = [c for c in order if c not in asked[one.layer] and std[one.layer][c] > 0][:count]
            kinds[kind] = tuple(range(len(found), len(found) + len(others)))
            found += [replace(one, channel=c, shift=one.shift / unit * float(std[one.layer][c])) for c in others]
        places.append(kinds[kind])
    return found, places
