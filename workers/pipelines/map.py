"""The job `map`: lays out the live units of a probe set in two dimensions, as a new version."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from rosetta.errors import NotFound
from service.database import schema
from service.database.copy import copy_records, read_records
from service.engine_version import ENGINE_VERSION
from service.settings import Settings
from workers.mining import planar
from workers.mining.embedding import Neighbourhoods, neighbourhoods
from workers.pipelines.context import Context
from workers.pipelines.inputs import probe_row
from workers.pipelines.passes import device_of

_LOOK_S = 0.1  # between two looks whether the job is still wanted
_NICE = 10
_UNIT = [("model_id", "i4"), ("unit", "i4")]
_SKETCH = np.dtype([*_UNIT, ("sketch", "f2", (schema.SKETCH_DIMENSIONS,))])
_POINT = np.dtype([("map_id", "i4"), *_UNIT, ("x", "f4"), ("y", "f4")])


def run(context: Context) -> None:
    """Makes a map of the probe set that the job's parameters name.

    Raises:
        NotFound: when the probe set, or all that was mined on it, was removed meanwhile.
    """
    wanted = context.parameters
    context.report(0, 1, "reading the sketches")
    with context.engine.connect() as connection:
        probe_set = probe_row(connection, wanted["probe"])
        rows = read_records(connection, schema.sketches, _SKETCH, schema.sketches.c.probe_set_id == probe_set.id)
    if not len(rows):
        raise NotFound(f"nothing is mined on probe set '{probe_set.name}' any more", probe=probe_set.name)

    found = neighbourhoods(
        rows["sketch"],
        wanted["n_neighbors"],
        seed=wanted["seed"],
        device=device_of(context.settings.device),
        tell=lambda done: context.report(done, 2 * len(rows), "finding neighbours"),
    )
    context.report(len(rows), 2 * len(rows), "laying out the units")
    places = found.start if found.are_none else _lay_out(context, found)
    context.report(2 * len(rows), 2 * len(rows), "storing the map")
    points = np.empty(len(rows), _POINT)
    points["model_id"], points["unit"] = rows["model_id"], rows["unit"]
    points["x"], points["y"] = places.T
    outcome: dict[str, Any] = {"units": len(points)}
    with context.publish(outcome) as connection:
        version = _store_version(connection, context, probe_set.id, len(points))
        outcome["map"], outcome["version"] = version.id, version.version
        points["map_id"] = version.id
        copy_records(connection, schema.unit_map_points, points)


def _lay_out(context: Context, found: Neighbourhoods) -> npt.NDArray[np.float32]:
    """The place of each unit, float32 [U, 2], by a process that ends when the job does.

    Raises:
        Stopped: when the job was cancelled, the lease was lost, or this worker is to shut down.
        RuntimeError: when the process failed, with its last line.
    """
    wanted = context.parameters
    arrays = {"index": found.index, "distance": found.distance, "start": found.start}
    with tempfile.TemporaryDirectory(prefix="rosetta-map-") as name:
        folder = Path(name)
        np.savez(folder / planar.GIVEN, **arrays, min_dist=wanted["min_dist"], seed=wanted["seed"])
        # Of this package, whatever folder we are in (-P); below the pages, which people wait for.
        command = [sys.executable, "-P", "-m", "workers.mining.planar", name]
        with (folder / "log").open("w+b") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=_environment(context.settings))
            try:
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
                while process.poll() is None:
                    context.check()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_LOOK_S)
            finally:
                process.kill()
                process.wait()
        if process.returncode != 0:
            lines = (folder / "log").read_text(errors="replace").splitlines() or [f"exit code {process.returncode}"]
            raise RuntimeError(f"the layout failed: {lines[-1]}")
        places: npt.NDArray[np.float32] = np.load(folder / planar.FOUND)
    return places


def _environment(settings: Settings) -> dict[str, str]:
    """This process's, and where numba keeps what it compiled: beside the packages, or else in the data directory."""
    package = find_spec("pynndescent")
    folders = list(package.submodule_search_locations or ()) if package else []
    if all(os.access(folder, os.W_OK) for folder in folders):
        return dict(os.environ)
    return {"NUMBA_CACHE_DIR": str(settings.data_dir / "numba"), **os.environ}


def _store_version(connection: sa.Connection, context: Context, probe_set_id: int, units: int) -> sa.Row[Any]:
    # Versions of a probe set are numbered one after the other.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("map"), probe_set_id)))
    maps = schema.unit_maps
    newest = sa.select(sa.func.coalesce(sa.func.max(maps.c.version), 0)).where(maps.c.probe_set_id == probe_set_id)
    wanted = context.parameters
    new = sa.insert(maps).values(
        probe_set_id=probe_set_id,
        version=newest.scalar_subquery() + 1,
        units=units,
        n_neighbors=wanted["n_neighbors"],
        min_dist=wanted["min_dist"],
        seed=wanted["seed"],
        code_version=ENGINE_VERSION,
        job_id=context.claim.job_id,
    )
    return connection.execute(new.returning(maps.c.id, maps.c.version)).one()
