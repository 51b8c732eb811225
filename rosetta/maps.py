"""Maps: all units of a probe set in two dimensions, as results, as the client hands them out, and how it asks."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rosetta import operations
from rosetta.effects import Operation, Request
from rosetta.errors import NotFound
from rosetta.results import Job
from rosetta.rows import Rows
from rosetta.views import Column, moment, number
from rosetta.wire import decode, send

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class MapLayer:
    """A layer on a map. `first_unit` is the model-wide number of its channel 0."""

    name: str
    first_unit: int


@dataclass(frozen=True)
class MapModel:
    """A model on a map: how many of its units are on it, and its layers in forward order."""

    name: str
    units: int
    layers: tuple[MapLayer, ...]


@dataclass(frozen=True)
class MapBounds:
    """Where the points of a map lie."""

    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True)
class MapVersion:
    """A map of a probe set. In listings `models` is empty, and what follows it is null.

    `concept_version`: of the concepts that the points name, the probe set's newest; null before any were looked for.
    `points_version`: while the points are these, they may be kept for ever under an address that has it.
    """

    id: int
    probe_set: str
    version: int
    units: int
    n_neighbors: int
    min_dist: float
    seed: int
    created_at: datetime
    job: int | None = None
    models: tuple[MapModel, ...] = ()
    bounds: MapBounds | None = None
    concept_version: int | None = None
    points_version: str | None = None


# The planes of the points on the wire, little-endian, one after the other: name, struct code, bytes.
PLANES = (("x", "f", 4), ("y", "f", 4), ("unit", "i", 4), ("concept", "i", 4), ("model", "H", 2), ("layer", "H", 2))
POINT_BYTES = sum(size for _, _, size in PLANES)


@dataclass(frozen=True, repr=False)
class UnitMap:
    """A map with its points: arrays of one length, by model and unit. `numpy.asarray` takes them as they are.

    Attributes:
        about: the probe set, version and parameters, and the models and their layers.
        x: to the right, float32.
        y: up, float32. Only distances mean something.
        unit: number of the unit in its model, int32.
        concept: number of its concept, int32; -1: it is in none.
        model: place in `about.models`, uint16.
        layer: place in the layers of that model, uint16.

    Example:
        >>> found = client.map("faces")
        >>> found.to_pandas().plot.scatter("x", "y", c="model")
    """

    about: MapVersion
    x: array[float]
    y: array[float]
    unit: array[int]
    concept: array[int]
    model: array[int]
    layer: array[int]

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        about = self.about
        models = ", ".join(f"{model.name} ({model.units:,})" for model in about.models)
        return f"<map {about.id} of {about.probe_set}, version {about.version}: {len(self):,} units of {models}>"

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame, a row a unit: `model`, `layer`, `unit`, `channel`, `x`, `y`, `concept` (<NA>: in none).

        Raises:
            ImportError: without pandas: `pip install 'rosetta-neurons[frames]'`.
        """
        from rosetta.frames import to_pandas

        models = self.about.models
        layers = [models[model].layers[layer] for model, layer in zip(self.model, self.layer, strict=True)]
        records = list(
            zip(
                [models[model].name for model in self.model],
                [layer.name for layer in layers],
                self.unit,
                [unit - layer.first_unit for unit, layer in zip(self.unit, layers, strict=True)],
                self.x,
                self.y,
                [None if concept < 0 else concept for concept in self.concept],
                strict=True,
            )
        )
        columns = ("model", "layer", "unit", "channel", "x", "y", "concept")
        return to_pandas(columns, ("text", "text", "int", "int", "float", "float", "int"), records)


class Maps(Rows[MapVersion]):
    """The maps there are, newest first."""

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return (
            Column("map", lambda row: number(row.id), right=True),
            Column("probe set", lambda row: row.probe_set, optional=True),
            Column("version", lambda row: number(row.version), right=True),
            Column("units", lambda row: number(row.units), right=True),
            Column("neighbours", lambda row: number(row.n_neighbors), right=True, optional=True),
            Column("least distance", lambda row: number(row.min_dist), right=True, optional=True),
            Column("made", lambda row: moment(row.created_at)),
        )


def list_maps(probe: str | None, limit: int | None) -> Operation[Maps]:
    """The maps, newest first."""
    return Maps(
        (yield from operations.list_all("/v1/maps", MapVersion, "maps", {"probe": probe}, limit)), MapVersion, "maps"
    )


def get_map(probe: str, version: int | None) -> Operation[UnitMap]:
    """A map with its points."""
    known = yield from list_maps(probe, 1 if version is None else None)
    chosen = next((one for one in known if version in (None, one.version)), None)
    if chosen is None and not known:
        raise NotFound(f"there is no map of '{probe}' yet: `rosetta map make --probe {probe}` makes one", probe=probe)
    if chosen is None:
        raise NotFound(f"the maps of '{probe}' have versions up to {known[0].version}, not {version}", version=version)
    about = yield from operations.get(f"/v1/maps/{chosen.id}", MapVersion)
    params = {"version": about.points_version}
    body = (yield from send(Request("GET", f"/v1/maps/{chosen.id}/points", params=params))).content
    return UnitMap(about, **_planes(body))


def make_map(probe: str, numbers: Mapping[str, float | int | None]) -> Operation[Job]:
    """The job that makes a map; what is None is the service's choice."""
    body = {"probe": probe, **{name: value for name, value in numbers.items() if value is not None}}
    return decode((yield from send(Request("POST", "/v1/maps", body=body))), Job)


def picture(map_id: int, colour: str, size: int) -> Operation[bytes]:
    """A map as a PNG file."""
    request = Request("GET", f"/v1/maps/{map_id}/picture", params={"colour": colour, "size": size})
    return (yield from send(request)).content


def _planes(body: bytes) -> dict[str, Any]:
    """The arrays of the points by name."""
    count = len(body) // POINT_BYTES
    planes = {}
    start = 0
    for name, code, size in PLANES:
        plane: array[Any] = array(code)
        plane.frombytes(body[start : start + count * size])
        if sys.byteorder == "big":
            plane.byteswap()
        planes[name] = plane
        start += count * size
    return planes
