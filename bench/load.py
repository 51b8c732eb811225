"""Bulk load: a million matches through `copy_records`, against a bare COPY of the same bytes."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa

from service.database import migrate
from service.database.copy import copy_records
from service.database.engine import make_engine
from service.database.schema import matches
from service.embedded import PostgresServer

ROWS = 1_000_000
KEEP = 10  # neighbours of a unit in one other model
UNITS = 5_000  # of a model: twenty comparisons make a million rows
REPEATS = 5
_BLOCK = 1 << 16


def run() -> dict[str, Any]:
    """The figures: `ratio_to_copy` is the bare COPY's time into the same table divided by ours."""
    with (
        tempfile.TemporaryDirectory(prefix="rosetta-bench-") as folder,
        PostgresServer.start(Path(folder)) as server,
    ):
        migrate.upgrade(server.url)
        engine = make_engine(server.url)
        try:
            return _measure(engine)
        finally:
            engine.dispose()


def _measure(engine: sa.Engine) -> dict[str, Any]:
    records = _records()
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE matches_without_index (LIKE matches)"))
    _load(engine, "matches", lambda connection: copy_records(connection, matches, records))
    encoded = _encoded(engine)  # as Postgres itself writes them
    ways: dict[str, tuple[str, Callable[[sa.Connection], None]]] = {
        "ours": ("matches", lambda connection: copy_records(connection, matches, records)),
        "bare": ("matches", lambda connection: _copy(connection, "matches", encoded)),
        "no_index": (
            "matches_without_index",
            lambda connection: _copy(connection, "matches_without_index", encoded),
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):  # interleaved, so that a slow minute of the machine strikes all
        for name, (table, load) in ways.items():
            times[name].append(_load(engine, table, load))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "ratio_to_copy": medians["bare"] / medians["ours"],
        "ratio_to_copy_without_index": medians["no_index"] / medians["ours"],
        "rows_per_s": ROWS / medians["ours"],
        "rows": ROWS,
        "load_s": medians["ours"],
        "copy_s": medians["bare"],
        "copy_without_index_s": medians["no_index"],
    }


def _records() -> np.ndarray:
    """The rows in the order that mining writes them: by comparison, unit and rank."""
    random = np.random.default_rng(0)
    place = np.arange(ROWS)
    records = np.zeros(
        ROWS,
        [
            ("comparison_id", "i4"),
            ("unit", "i4"),
            ("rank", "i2"),
            ("neighbour", "i4"),
            ("correlation", "f4"),
            ("reciprocal_rank", "i2"),
            ("q_value", "f4"),
        ],
    )
    records["comparison_id"] = place // (UNITS * KEEP) + 1
    records["unit"] = place // KEEP % UNITS
    records["rank"] = place % KEEP + 1
    records["neighbour"] = random.integers(0, UNITS, ROWS)
    records["correlation"] = random.uniform(-1, 1, ROWS)
    records["reciprocal_rank"] = random.integers(0, KEEP + 1, ROWS)
    records["q_value"] = random.uniform(0, 1, ROWS)
    return records


def _load(engine: sa.Engine, table: str, load: Callable[[sa.Connection], None]) -> float:
    """Seconds that the load into the emptied table takes, commit included."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"TRUNCATE {table}"))
        connection.execute(sa.text("CHECKPOINT"))  # so that no repeat pays for the one before
    with engine.connect() as connection:
        begun = time.perf_counter()
        load(connection)
        connection.commit()
        return time.perf_counter() - begun


def _driver(connection: sa.Connection) -> psycopg.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _encoded(engine: sa.Engine) -> bytes:
    with (
        engine.connect() as connection,
        _driver(connection).cursor() as cursor,
        cursor.copy("COPY matches TO STDOUT (FORMAT binary)") as copy,
    ):
        return b"".join(bytes(block) for block in copy)


def _copy(connection: sa.Connection, table: str, encoded: bytes) -> None:
    connection.begin()
    view = memoryview(encoded)
    with (
        _driver(connection).cursor() as cursor,
        cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy,
    ):
        for start in range(0, len(view), _BLOCK):
            copy.write(view[start : start + _BLOCK])
