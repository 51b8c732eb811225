"""Telling the units of one model from those of another, with coefficients that the service fitted. Needs numpy."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rosetta.equivalents import Equivalents, Explained, Method
from rosetta.errors import InvalidRequest
from rosetta.files import write_whole

try:
    import numpy as np
    from safetensors.numpy import load
except ImportError as error:
    raise ImportError("this needs numpy and safetensors: pip install 'rosetta-neurons[frames]'") from error

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Translated:
    """Units of a model, told from those of another.

    Attributes:
        values: float32, as the model itself would give them, in the form they came in: means [N, U] by unit number,
            or by layer means [N, C] or maps [N, C, H, W]. NaN of units that match none.
        about: the translation, with R^2 on held-out images of each unit.
        method: `ridge`, from all matches of a unit, or `best`, from the best one alone.
        pooled: whether they are means.
    """

    values: Any
    about: Equivalents
    method: Method
    pooled: bool

    @property
    def shares(self) -> Explained:
        """How much of the variance of all told units the shared units explain, on held-out images."""
        return self.about.pooled if self.pooled else self.about.maps

    @property
    def explained(self) -> float | None:
        """The same, of the method that told them."""
        return self.shares.best if self.method == "best" else self.shares.ridge

    def __repr__(self) -> str:
        about, told = self.about, "-" if self.explained is None else f"{100 * self.explained:.0f}%"
        what = "means" if self.pooled else "maps"
        return (
            f"<{what} of {about.units:,} units of {about.target}, told from {about.source}: {told} of their variance>"
        )


@dataclass(frozen=True)
class Layer:
    """A layer of a model: its first unit's number, its channels and its grid."""

    name: str
    first: int
    channels: int
    grid: tuple[int, int]

    @property
    def units(self) -> slice:
        """The numbers of its units."""
        return slice(self.first, self.first + self.channels)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """A fitted translation, as its file has it.

    Attributes:
        arrays: `units` int32 [V] of the target; `index` int32 [V, k], units of the source, -1: none; `correlation`
            float32 [V, k]; `pooled_weights`, `maps_weights` float32 [V, k] and `pooled_intercept`, `maps_intercept`
            float32 [V], in deviations; over the probe set, `source_mean`, `source_std` float32 [U] and `target_mean`,
            `target_std` float32 [V].
        source, target: the layers of the models, in forward order.
        names: of the source and the target.
    """

    arrays: Mapping[str, Any]
    source: tuple[Layer, ...]
    target: tuple[Layer, ...]
    names: tuple[str, str]

    @classmethod
    def read(cls, content: bytes) -> Self:
        """The coefficients in a file of the service."""
        arrays = load(content)
        about = json.loads(arrays.pop("about").tobytes())
        source, target = about["source"], about["target"]
        return cls(arrays, _layers(source["layers"]), _layers(target["layers"]), (source["name"], target["name"]))

    def apply(self, activations: Any, about: Equivalents, method: Method = "ridge") -> Translated:
        """The target's units.

        Args:
            activations: of the source: means over positions [N, U] by unit number, or by layer means [N, C] or maps
                [N, C, H, W]. Layers that no unit is told from may be left out.
            about: what the service says of these coefficients.
            method: from all matches of a unit, or from the best one alone.

        Raises:
            InvalidRequest: when they are not those of the source.
        """
        pooled = check(activations)
        maps = self._by_layer(activations)
        weights, intercept = self._fitted(method, pooled=pooled)
        told = {layer.name: self._told(layer, maps, weights, intercept, pooled=pooled) for layer in self.target}
        if isinstance(activations, Mapping):
            values: Any = {name: found for name, found in told.items() if found is not None}
        else:
            count = len(activations)
            empty = {layer.name: np.full((count, layer.channels), np.nan, np.float32) for layer in self.target}
            values = np.concatenate([empty[name] if found is None else found for name, found in told.items()], 1)
        return Translated(values, about, method, pooled)

    def _fitted(self, method: Method, *, pooled: bool) -> tuple[Floats, Floats]:
        what, arrays = "pooled" if pooled else "maps", self.arrays
        if method == "ridge":
            return arrays[f"{what}_weights"], arrays[f"{what}_intercept"]
        weights = np.zeros_like(arrays["correlation"])
        weights[:, 0] = np.nan_to_num(arrays["correlation"][:, 0])
        return weights, np.zeros(len(weights), np.float32)

    def _by_layer(self, activations: Any) -> dict[str, Floats]:
        """Float32 [N, C, H, W] of each layer that came; means are maps of one position."""
        name, units = self.names[0], self.source[-1].units.stop
        if not isinstance(activations, Mapping):
            if activations.shape[1] != units:
                raise InvalidRequest(
                    f"{name} has {units} units, and activations of shape {list(activations.shape)} came: [N, {units}] "
                    "are wanted, or arrays by layer"
                )
            activations = {layer.name: activations[:, layer.units] for layer in self.source}
        known = {layer.name: layer for layer in self.source}
        for layer, maps in activations.items():
            if layer not in known:
                raise InvalidRequest(f"{name} has no layer '{layer}': it has {', '.join(known)}", layer=layer)
            if maps.shape[1] != known[layer].channels:
                raise InvalidRequest(
                    f"{name}/{layer} has {known[layer].channels} channels, and {maps.shape[1]} came", layer=layer
                )
        index = self.arrays["index"]
        used = np.unique(index[index >= 0])
        for one in self.source:
            if one.name not in activations and ((used >= one.first) & (used < one.units.stop)).any():
                raise InvalidRequest(f"the translation takes layer '{one.name}' of {name} as well", layer=one.name)
        return {
            layer: np.asarray(maps, np.float32).reshape(*maps.shape, *(1,) * (4 - maps.ndim))
            for layer, maps in activations.items()
        }

    def _told(
        self, layer: Layer, maps: Mapping[str, Floats], weights: Floats, intercept: Floats, *, pooled: bool
    ) -> Floats | None:
        """Float32 [N, C] or [N, C, H, W] of a layer of the target, NaN of units without a match; None: none has one."""
        arrays, grid = self.arrays, (1, 1) if pooled else layer.grid
        rows = np.flatnonzero((arrays["units"] >= layer.first) & (arrays["units"] < layer.units.stop))
        if not len(rows):
            return None
        index = arrays["index"][rows]
        wanted = np.unique(index[index >= 0])
        known = self._standardised(maps, wanted, grid)
        found = np.zeros((known.shape[0], len(rows), *grid), np.float32)
        for column in range(index.shape[1]):  # one match after the other: all at once would take k times the memory
            there = index[:, column] >= 0
            places = np.searchsorted(wanted, np.where(there, index[:, column], wanted[0]))
            found += known[:, places] * (weights[rows, column] * there)[:, None, None]
        found += intercept[rows][:, None, None]
        found = found * arrays["target_std"][rows][:, None, None] + arrays["target_mean"][rows][:, None, None]
        told = np.full((len(found), layer.channels, *grid), np.nan, np.float32)
        told[:, arrays["units"][rows] - layer.first] = found
        return told[:, :, 0, 0] if pooled else told

    def _standardised(self, maps: Mapping[str, Floats], wanted: Any, grid: tuple[int, int]) -> Floats:
        """The wanted units in their deviations at a grid, float32 [N, len(wanted), *grid]."""
        found = []
        for layer in self.source:
            units = wanted[(wanted >= layer.first) & (wanted < layer.units.stop)]
            if len(units):
                std = self.arrays["source_std"][units][:, None, None]
                own = maps[layer.name][:, units - layer.first] - self.arrays["source_mean"][units][:, None, None]
                own = np.divide(own, std, out=np.zeros_like(own), where=np.broadcast_to(std > 0, own.shape))
                found.append(resize(own, grid))
        return np.concatenate(found, 1)


def check(activations: Any) -> bool:
    """Whether activations are means over positions; else they are maps.

    Raises:
        InvalidRequest: when they are neither.
    """
    arrays = activations if isinstance(activations, Mapping) else {"": activations}
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    dimensions = {len(shape) for shape in shapes.values()}
    if not shapes or dimensions not in ({2}, {4}) or (dimensions == {4} and "" in shapes):
        raise InvalidRequest(
            "activations are an array of means [N, U], or arrays by layer, all [N, C] or all [N, C, H, W]: "
            f"{', '.join(f'{name} {list(shape)}'.strip() for name, shape in shapes.items()) or 'nothing'} came"
        )
    if len({shape[0] for shape in shapes.values()}) != 1 or not all(map(all, shapes.values())):
        raise InvalidRequest("activations of all layers are of the same images, one or more")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InvalidRequest(f"activations are finite numbers: {name or 'these'} have NaN or infinity")
    return dimensions == {2}


def resize(maps: Floats, grid: tuple[int, int]) -> Floats:
    """Maps [..., H, W] at another grid: bilinear, and averaged where that is smaller; float32."""
    height, width = maps.shape[-2:]
    if (height, width) == grid:
        return maps
    rows, columns = _resizing(height, grid[0]), _resizing(width, grid[1])
    found: Floats = np.asarray(rows @ maps @ columns.T, np.float32)
    return found


def _resizing(old: int, new: int) -> Floats:
    """What brings `old` cells to `new` ones, float32 [new, old]: a triangle around each new cell's middle."""
    scale = old / new
    away = np.abs((np.arange(old) + 0.5) - ((np.arange(new) + 0.5) * scale)[:, None])
    weights = np.clip(1 - away / max(scale, 1), 0, None)
    found: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return found


def _layers(described: list[list[Any]]) -> tuple[Layer, ...]:
    layers, first = [], 0
    for name, channels, height, width in described:
        layers.append(Layer(name, first, channels, (height, width)))
        first += channels
    return tuple(layers)


def read_activations(path: Path) -> Any:
    """The array of a .npy file, or those of a .npz file by layer.

    Raises:
        InvalidRequest: when it is neither, or holds no numbers.
    """
    try:
        found = np.load(path, allow_pickle=False)
        arrays = found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidRequest(
            f"{path} is no .npy or .npz file of numbers: write it with numpy.save or numpy.savez"
        ) from error
    for array in [arrays] if isinstance(arrays, np.ndarray) else arrays.values():
        if not np.issubdtype(array.dtype, np.floating) and not np.issubdtype(array.dtype, np.integer):
            raise InvalidRequest(f"{path} holds {array.dtype}: activations are real numbers")
    return arrays


def write_activations(path: Path, values: Any) -> None:
    """Writes an array as .npy, or arrays by layer as .npz; whole or not at all."""
    file = io.BytesIO()
    if isinstance(values, Mapping):
        np.savez(file, **values)
    else:
        np.save(file, values)
    write_whole(path, file.getvalue())
