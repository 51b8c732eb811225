"""Edits of what a model sees: its maps are moved, enlarged, copied or changed, for the generator to follow.

Each takes targets and returns new ones, so edits compose. Places are in pixels of the generator's images, from the
upper left corner, x to the right and y down; they fall between the cells of a layer's grid, where maps are read
bilinearly. Maps are in deviations from the unit's mean, so what comes in from outside the frame, its mean, is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.translation.interventions import Box, coverage
from workers.translation.targets import LayerTargets, Pair, Targets

Frame = tuple[int, int]  # height and width of the generator's images, pixels


def shift(targets: Targets, frame: Frame, dx: float, dy: float) -> Targets:
    """Everything moves by `dx` pixels to the right and `dy` down.

    Raises:
        InvalidRequest: when nothing would stay in the frame.
    """
    height, width = frame
    if not (abs(dx) < width and abs(dy) < height):  # NaN, too
        raise InvalidRequest(
            f"a shift stays inside the frame, {width} x {height} pixels: by ({dx:g}, {dy:g}) nothing is left"
        )
    return _moved(targets, frame, 1.0, (-dy, -dx))


def zoom(targets: Targets, frame: Frame, factor: float, centre: tuple[float, float] | None = None) -> Targets:
    """Everything grows `factor` times around a point (x, y), the middle where none is given.

    Raises:
        InvalidRequest: when the factor is not above 0, or the point lies outside the frame.
    """
    height, width = frame
    x, y = centre or (width / 2, height / 2)
    if not (0 < factor < math.inf):
        raise InvalidRequest(f"a zoom's factor lies above 0: {factor:g} does not")
    if not (0 <= x <= width and 0 <= y <= height):
        raise InvalidRequest(
            f"a zoom's centre lies inside the frame, {width} x {height} pixels: ({x:g}, {y:g}) does not"
        )
    return _moved(targets, frame, 1 / factor, (y * (1 - 1 / factor), x * (1 - 1 / factor)))


def copy_paste(
    targets: Targets, frame: Frame, box: Box, to: tuple[float, float], source: Targets | None = None
) -> Targets:
    """What is in `box` appears with its upper left corner at `to` as well.

    Args:
        targets: where it appears.
        frame: of both.
        box: x, y, width, height.
        to: x, y.
        source: where it comes from, of the same pairs and of one image or as many; None: from `targets` themselves.

    Raises:
        InvalidRequest: when either place reaches out of the frame, or the source is of other pairs.
    """
    x, y, width, height = box
    there = (*to, width, height)
    for place in (box, there):
        _check_box(place, frame)
    source = targets if source is None else _alike(targets, source)
    moved = _moved(source, frame, 1.0, (y - to[1], x - to[0]))
    layers = []
    for mine, theirs in zip(targets.layers, moved.layers, strict=True):
        covered = coverage(there, frame, _grid(mine)).to(mine.maps)
        layers.append(replace(mine, maps=mine.maps * (1 - covered) + theirs.maps * covered))
    return Targets(tuple(layers))


def change_units(
    targets: Targets,
    frame: Frame,
    chosen: Callable[[Pair], bool],
    action: Literal["raise", "lower", "remove"],
    *,
    amount: float = 2.0,
    box: Box | None = None,
    share: float | None = None,
) -> Targets:
    """Some units fire more, less, or no longer.

    Args:
        targets: where.
        frame: of the images.
        chosen: of which pairs.
        action: raise or lower by `amount`; remove: down to the model's unit's least activation.
        amount: in deviations, > 0.
        box: where; None: everywhere.
        share: which part of all weights the chosen pairs get, in (0, 1); None: theirs.

    Raises:
        InvalidRequest: when no pair is chosen, a number is none, or the box reaches out of the frame.
    """
    if not (0 < amount < math.inf):
        raise InvalidRequest(f"an amount lies above 0: {amount:g} does not")
    if box is not None:
        _check_box(box, frame)
    pairs = [pair for layer in targets.layers for pair in layer.pairs]
    picked = [pair for pair in pairs if chosen(pair)]
    if not picked:
        raise InvalidRequest("no matched pair has that unit: name one of the pairs that steer, or choose more pairs")
    mine, rest = (sum(pair.weight for pair in some) for some in (picked, pairs))
    rest -= mine
    scale = 1.0 if share is None or rest == 0 else share / (1 - share) * rest / mine
    layers = []
    for layer in targets.layers:
        covered = 1.0 if box is None else coverage(box, frame, _grid(layer)).to(layer.maps)
        maps, of = layer.maps.clone(), list(layer.pairs)
        for place, pair in enumerate(layer.pairs):
            if chosen(pair):
                change = _least(pair) - maps[:, place] if action == "remove" else _SIGN[action] * amount
                maps[:, place] += covered * change
                of[place] = replace(pair, weight=pair.weight * scale)
        layers.append(replace(layer, maps=maps, pairs=tuple(of)))
    return Targets(tuple(layers))


_SIGN = {"raise": 1, "lower": -1}


def _least(pair: Pair) -> float:
    if pair.model.minimum is None:
        raise InvalidRequest("a unit is removed down to its least activation over the probe set, which is not given")
    return (pair.model.minimum - pair.model.mean) / pair.model.std


def align(targets: Targets, other: Targets, strength: float = 1.0) -> Targets:
    """The image comes to match another one.

    Args:
        targets: of the image.
        other: of the same pairs, of one image or as many.
        strength: 1: all of the other; 0: nothing of it.

    Raises:
        InvalidRequest: when the other's pairs differ, or the strength is no part.
    """
    if not 0 <= strength <= 1:
        raise InvalidRequest(f"a strength lies between 0 and 1: {strength:g} does not")
    layers = [
        replace(mine, maps=mine.maps.lerp(theirs.maps.expand_as(mine.maps), strength))
        for mine, theirs in zip(targets.layers, _alike(targets, other).layers, strict=True)
    ]
    return Targets(tuple(layers))


def _alike(targets: Targets, other: Targets) -> Targets:
    def units(one: Targets) -> list[tuple[str, list[int]]]:
        return [(layer.layer, [pair.model.channel for pair in layer.pairs]) for layer in one.layers]

    if units(targets) != units(other):
        raise InvalidRequest("the other image is seen by other units: look at both with the same pairs")
    if other.images not in {1, targets.images}:
        raise InvalidRequest(f"{other.images} other images came for {targets.images}: give one, or as many")
    return other


def _check_box(box: Box, frame: Frame) -> None:
    x, y, width, height = box
    if not (width > 0 and height > 0 and x >= 0 and y >= 0 and x + width <= frame[1] and y + height <= frame[0]):
        raise InvalidRequest(
            f"a box lies inside the frame, {frame[1]} x {frame[0]} pixels, and has an area: {width:g} x {height:g} "
            f"at ({x:g}, {y:g}) does not"
        )


def _grid(layer: LayerTargets) -> tuple[int, int]:
    return layer.maps.shape[2], layer.maps.shape[3]


def _moved(targets: Targets, frame: Frame, slope: float, offset: tuple[float, float]) -> Targets:
    """Maps that show at (y, x) what they showed at slope * (y, x) + offset, in pixels."""
    layers = []
    for layer in targets.layers:
        rows, columns = (
            _reading(cells, slope, start * cells / pixels).to(layer.maps)
            for cells, start, pixels in zip(_grid(layer), offset, frame, strict=True)
        )
        layers.append(replace(layer, maps=rows @ layer.maps @ columns.T))
    return Targets(tuple(layers))


def _reading(cells: int, slope: float, offset: float) -> Tensor:
    """Linear interpolation on one axis as a matrix, float64 [cells, cells]: position p reads slope * p + offset.

    Positions are in cells from the edge, so that cell i has its middle at i + 0.5. Beyond the frame it reads 0.
    """
    place = slope * (torch.arange(cells, dtype=torch.float64) + 0.5) + offset - 0.5
    return (1 - (place[:, None] - torch.arange(cells, dtype=torch.float64)).abs()).clamp(min=0)
