"""Maps: the versions of a probe set, what is on one, and its points."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from rosetta.errors import NotFound
from rosetta.maps import MapBounds, MapLayer, MapModel, MapVersion
from rosetta.results import Concept, Job, Page
from service import jobs
from service.database.copy import read_records
from service.database.schema import (
    concept_members,
    concept_versions,
    concepts,
    layers,
    models,
    probe_sets,
    unit_map_points,
    unit_maps,
)
from service.database.schema import jobs as jobs_table
from service.queries import names, pages
from service.queries.concepts import list_concepts

_POINT = np.dtype([("model_id", "i4"), ("unit", "i4"), ("x", "f4"), ("y", "f4")])
_MEMBER = np.dtype([("concept_id", "i4"), ("model_id", "i4"), ("unit", "i4")])
_COLUMNS = (
    unit_maps.c.id,
    probe_sets.c.name,
    unit_maps.c.version,
    unit_maps.c.units,
    unit_maps.c.n_neighbors,
    unit_maps.c.min_dist,
    unit_maps.c.seed,
    unit_maps.c.created_at,
    unit_maps.c.job_id,
)


class Points(NamedTuple):
    """The points of a map, by model and unit: what `rosetta.maps.UnitMap` has, as numpy arrays [N]."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    unit: npt.NDArray[np.int32]
    concept: npt.NDArray[np.int32]
    model: npt.NDArray[np.uint16]
    layer: npt.NDArray[np.uint16]

    def where(self, keep: npt.NDArray[np.bool_]) -> Points:
        """Those for which `keep` [N] is true."""
        x, y, unit, concept, model, layer = self
        return Points(x[keep], y[keep], unit[keep], concept[keep], model[keep], layer[keep])


def list_maps(
    conn: sa.Connection, *, probe: str | None = None, limit: int = pages.DEFAULT_LIMIT, cursor: str | None = None
) -> Page[MapVersion]:
    """The maps, newest first; of one probe set where it is named.

    Raises:
        NotFound: when there is no such probe set.
        InvalidRequest: when the limit or the cursor is none.
    """
    statement = sa.select(*_COLUMNS).join_from(unit_maps, probe_sets).order_by(unit_maps.c.id.desc())
    if probe is not None:
        statement = statement.where(unit_maps.c.probe_set_id == names.probe_row(conn, probe).id)
    if cursor is not None:
        statement = statement.where(unit_maps.c.id < pages.decode_cursor(cursor, int)[0])
    rows = conn.execute(statement.limit(pages.check_limit(limit) + 1)).all()
    return pages.paged(rows, limit, key=lambda row: (row.id,), item=lambda row: MapVersion(*row))


def get_map(conn: sa.Connection, map_id: int) -> MapVersion:
    """One map, and what is on it.

    Raises:
        NotFound: when there is none of that number.
    """
    statement = sa.select(*_COLUMNS, unit_maps.c.probe_set_id).join_from(unit_maps, probe_sets)
    row = conn.execute(statement.where(unit_maps.c.id == map_id)).one_or_none()
    if row is None:
        raise NotFound(f"no map {map_id}: `rosetta map list` shows those there are", map=map_id)
    places = unit_map_points.c
    corners = [function(axis) for function in (sa.func.min, sa.func.max) for axis in (places.x, places.y)]
    found = conn.execute(
        sa.select(places.model_id, models.c.name, sa.func.count(), *corners)
        .join_from(unit_map_points, models)
        .where(places.map_id == map_id)
        .group_by(places.model_id, models.c.name)
        .order_by(places.model_id)
    ).all()
    of_model = _layers(conn, [model_id for model_id, *_ in found])
    low_high = np.array([corner for _, _, _, *corner in found], np.float64).reshape(-1, 4)
    concepts_id, concepts_version = _concept_version(conn, row.probe_set_id) or (None, None)
    shown = [row.id, str(row.created_at), [(model_id, units) for model_id, _, units, *_ in found]]
    shown.append(concepts_id)
    return replace(
        MapVersion(*row[: len(_COLUMNS)]),
        models=tuple(MapModel(name, units, tuple(of_model[model_id])) for model_id, name, units, *_ in found),
        bounds=MapBounds(*low_high[:, :2].min(axis=0).tolist(), *low_high[:, 2:].max(axis=0).tolist())
        if found
        else None,
        concept_version=concepts_version,
        points_version=hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16],
    )


def read_points(conn: sa.Connection, map_id: int) -> Points:
    """The points of a map that is there; none of one that is not."""
    rows = read_records(conn, unit_map_points, _POINT, unit_map_points.c.map_id == map_id)
    ids, model = np.unique(rows["model_id"], return_inverse=True)
    layer = np.zeros(len(rows), np.uint16)
    for place, of_model in enumerate(_layers(conn, ids.tolist()).values()):
        here = model == place
        starts = [one.first_unit for one in of_model]
        layer[here] = np.searchsorted(starts, rows["unit"][here], side="right") - 1
    return Points(rows["x"], rows["y"], rows["unit"], _concepts(conn, map_id, rows), model.astype(np.uint16), layer)


def largest_concepts(conn: sa.Connection, about: MapVersion, count: int) -> list[Concept]:
    """The concepts of most models among those that the map's points name, then the most cohesive."""
    if about.concept_version is None:
        return []
    return list(list_concepts(conn, probe=about.probe_set, version=about.concept_version, limit=count).items)


def members_on(about: MapVersion, points: Points, concept: Concept) -> npt.NDArray[np.bool_]:
    """Which points are members of the concept, bool [N]."""
    places = {model.name: place for place, model in enumerate(about.models)}
    members = [places[one.model] << 32 | one.unit for one in concept.members if one.model in places]
    return np.isin(points.model.astype(np.int64) << 32 | points.unit, members)


def has_point(conn: sa.Connection, map_id: int, model_id: int, unit: int) -> bool:
    """Whether a unit is on a map; a dead one is not."""
    columns = unit_map_points.c
    here = sa.select(columns.unit).where(columns.map_id == map_id, columns.model_id == model_id, columns.unit == unit)
    return conn.execute(here).first() is not None


def latest_job(conn: sa.Connection, probe: str) -> Job | None:
    """The newest job that makes a map of the probe set."""
    newest = sa.select(sa.func.max(jobs_table.c.id)).where(
        jobs_table.c.kind == "map", jobs_table.c.parameters["probe"].astext == probe
    )
    job_id = conn.scalar(newest)
    return None if job_id is None else jobs.get(conn, job_id)


def _layers(conn: sa.Connection, model_ids: list[int]) -> dict[int, list[MapLayer]]:
    """The layers of each model in forward order, by id and in the order of the ids."""
    found: dict[int, list[MapLayer]] = {model_id: [] for model_id in model_ids}
    columns = layers.c
    rows = sa.select(columns.model_id, columns.name, columns.first_unit).where(columns.model_id.in_(model_ids))
    for model_id, name, first_unit in conn.execute(rows.order_by(columns.position)):
        found[model_id].append(MapLayer(name, first_unit))
    return found


def _concept_version(conn: sa.Connection, probe_set_id: int) -> tuple[int, int] | None:
    """The newest concepts of a probe set: their id and version."""
    columns = concept_versions.c
    of_probe_set = sa.select(columns.id, columns.version).where(columns.probe_set_id == probe_set_id)
    row = conn.execute(of_probe_set.order_by(columns.version.desc()).limit(1)).one_or_none()
    return None if row is None else (row.id, row.version)


def _concepts(conn: sa.Connection, map_id: int, rows: npt.NDArray[np.void]) -> npt.NDArray[np.int32]:
    """The concept of each point among the newest of the probe set, int32 [N]; -1 where there is none."""
    found = np.full(len(rows), -1, np.int32)
    newest = _concept_version(
        conn, conn.scalar(sa.select(unit_maps.c.probe_set_id).where(unit_maps.c.id == map_id)) or 0
    )
    if newest is None or not len(rows):
        return found
    of_version = sa.select(concepts.c.id).where(concepts.c.version_id == newest[0])
    members = read_records(conn, concept_members, _MEMBER, concept_members.c.concept_id.in_(of_version))
    # The rows are in the order of this key, for that is the order of the table's.
    keys = _key(rows)
    places = np.minimum(np.searchsorted(keys, _key(members)), len(keys) - 1)
    there = keys[places] == _key(members)
    found[places[there]] = members["concept_id"][there]
    return found


def _key(rows: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    keys: npt.NDArray[np.int64] = rows["model_id"].astype(np.int64) << 32 | rows["unit"]
    return keys
