"""Bulk: a NumPy record array goes to a table by binary COPY, and comes back, without a Python object for each row.

Every column has a fixed width, so a chunk of rows on the wire is itself a record array: the number of columns
as int16, then for each its length as int32 and its value, big-endian (PostgreSQL, COPY, "Binary Format").
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from psycopg import sql
from sqlalchemy.dialects.postgresql import aggregate_order_by

from rosetta.errors import InvalidRequest

Records = npt.NDArray[np.void]

_CHUNK_BYTES = 1 << 16  # the quickest of 16 KiB to 1 MiB: it stays in the cache, whole for psycopg
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no header extension
_TRAILER = b"\xff\xff"
# Most particular first: SQLAlchemy's SmallInteger is an Integer.
_WIRE: Mapping[type[sa.types.TypeEngine[Any]], str] = {
    sa.Boolean: "?",
    sa.SmallInteger: ">i2",
    sa.BigInteger: ">i8",
    sa.Integer: ">i4",
    sa.REAL: ">f4",
    sa.Double: ">f8",
}
# Of an array's items, as they are named on the wire (pg_type.dat).
_OIDS = {"|b1": 16, ">i8": 20, ">i2": 21, ">i4": 23, ">f4": 700, ">f8": 701}

# What Postgres calls them.
_TYPES = {"?": "bool", ">i2": "int2", ">i4": "int4", ">i8": "int8", ">f4": "float4", ">f8": "float8"}


def copy_records(connection: sa.Connection, table: sa.Table, records: Records) -> None:
    """Appends the records to the table, inside the connection's transaction.

    Args:
        connection: its transaction is begun where there is none yet; the caller commits.
        table: its columns that `records` has no field for take their defaults.
        records: structured array [N], a field for each column: bool, int16, int32, int64, float32, float64;
            float16 [D] for a halfvec, [K] of any of the others for an array. A narrower type fits a wider column.

    Raises:
        InvalidRequest: when a field has no column, or does not fit its column.
        psycopg.Error: when Postgres refuses the rows (such as UniqueViolation).
    """
    wire = _wire_format(table, records)
    if not connection.in_transaction():
        connection.begin()
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(*(part for part in (table.schema, table.name) if part)),
        sql.SQL(", ").join(sql.Identifier(name) for name in _names(records)),
    )
    chunk = _empty_chunk(wire, max(1, min(len(records), _CHUNK_BYTES // wire.itemsize)))
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_SIGNATURE)
        for start in range(0, len(records), len(chunk)):
            part = records[start : start + len(chunk)]
            rows = chunk[: len(part)]
            for name in _names(records):
                _values(rows[name])[...] = part[name]
            copy.write(rows.view(np.uint8).data)  # libpq has copied it when this returns
        copy.write(_TRAILER)


def read_records(connection: sa.Connection, table: sa.Table, kind: np.dtype[np.void], *where: Any) -> Records:
    """The rows of a table as records [N] of that kind, in the order of its columns but vectors.

    Not by COPY, which the driver hands over a row at a time: Postgres puts the rows together, and one value comes.

    Args:
        connection: where to look.
        table: none of the columns read is null in it.
        kind: a field for each column, as `copy_records` takes them, but for arrays; 1 GB of them at most.
        where: conditions on the table's columns.

    Raises:
        InvalidRequest: when a field has no column, or is not of its type.
    """
    names = kind.names or ()
    fields = {name: dict(_wire_format(table, np.empty(0, kind))[name].fields or {}) for name in names}
    # Of each field what follows its length.
    wire = np.dtype([(name, [(part, fields[name][part][0]) for part in [*fields[name]][1:]]) for name in names])
    columns = [table.c[name] for name in names]
    order = [column for column in columns if not isinstance(column.type, HALFVEC)]
    values = [_sent(column) for column in columns]
    for name in names:
        if not np.can_cast(wire[name]["value"].base, kind[name].base, "safe"):
            raise InvalidRequest(f"column {table.name}.{name} does not fit {kind[name].base}")
    row = reduce(lambda row, part: row.op("||")(part), values)
    together: Any = aggregate_order_by(sa.literal_column("''::bytea"), *order)
    statement = sa.select(sa.func.string_agg(row, together)).where(*where)
    text = str(statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor(binary=True) as cursor:
        (found,) = cursor.execute(text.encode()).fetchone() or (None,)
    sent = np.frombuffer(found or b"", wire)
    records = np.empty(len(sent), kind)
    for name in names:
        records[name] = sent[name]["value"]
    return records


def _sent(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The column's value in its binary format."""
    kind = "halfvec_" if isinstance(column.type, HALFVEC) else _TYPES.get(_scalar(column.type) or "")
    if kind is None:
        raise InvalidRequest(
            f"column {column.table.name}.{column.name} is {column.type}, which bulk reads do not carry"
        )
    value: sa.ColumnElement[Any] = getattr(sa.func, f"{kind}send")(column)
    return value


def _names(records: Records) -> tuple[str, ...]:
    names = records.dtype.names
    if not names:
        raise InvalidRequest(f"expected a structured array, got {records.dtype}")
    return names


def _wire_format(table: sa.Table, records: Records) -> np.dtype[np.void]:
    """The packed layout of a row on the wire: its count, and for each field a length and a value."""
    if records.ndim != 1:
        raise InvalidRequest(f"records for table {table.name} must be 1-d, not {records.ndim}-d")
    fields: list[tuple[str, Any]] = [("(count)", ">i2")]
    for name in _names(records):
        if name not in table.columns:
            raise InvalidRequest(f"table {table.name} has no column '{name}'")
        fields.append((name, _column_format(table.columns[name], records.dtype[name])))
    return np.dtype(fields)


def _column_format(column: sa.Column[Any], given: np.dtype[Any]) -> np.dtype[Any]:
    place = f"column {column.table.name}.{column.name}"
    if isinstance(column.type, HALFVEC):
        vector = np.dtype((">f2", (column.type.dim,)))
        if given.base != np.float16 or given.shape != vector.shape:
            raise InvalidRequest(f"{place} needs float16 [{column.type.dim}], got {given.base} {list(given.shape)}")
        return np.dtype([("length", ">i4"), ("dimensions", ">i2"), ("unused", ">i2"), ("value", vector)])
    if isinstance(column.type, sa.ARRAY) and len(given.shape) == 1:
        item = _scalar(column.type.item_type)
        if item and np.can_cast(given.base, np.dtype(item), "safe"):
            item_format = np.dtype([("length", ">i4"), ("value", item)])
            header = [(name, ">i4") for name in ("length", "axes", "nulls", "type", "count", "first")]
            return np.dtype([*header, ("items", item_format, given.shape)])
    wire = _scalar(column.type)
    if wire is None:
        raise InvalidRequest(f"{place} is {column.type}, which bulk writes do not carry")
    if given.shape or not np.can_cast(given, np.dtype(wire), "safe"):
        raise InvalidRequest(
            f"{place} needs {np.dtype(wire).name}, got {given.base} {list(given.shape) or ''}".rstrip()
        )
    return np.dtype([("length", ">i4"), ("value", wire)])


def _scalar(kind: sa.types.TypeEngine[Any]) -> str | None:
    return next((code for known, code in _WIRE.items() if isinstance(kind, known)), None)


def _values(field: Records) -> npt.NDArray[Any]:
    """Where a field's values stand: the items of an array, or the one value."""
    found: npt.NDArray[Any] = field["items"]["value"] if "items" in (field.dtype.names or ()) else field["value"]
    return found


def _empty_chunk(wire: np.dtype[np.void], rows: int) -> Records:
    """A chunk whose counts, lengths and headers are filled in: only its values ever change."""
    chunk = np.zeros(rows, wire)
    names = wire.names or ()
    chunk[names[0]] = len(names) - 1
    for name in names[1:]:
        field = wire[name]
        chunk[name]["length"] = field.itemsize - 4
        if "dimensions" in (field.names or ()):
            chunk[name]["dimensions"] = field["value"].shape[0]
        if "items" in (field.names or ()):
            items = field["items"]
            chunk[name]["axes"], chunk[name]["first"] = 1, 1
            chunk[name]["type"] = _OIDS[items.base["value"].str]
            chunk[name]["count"] = items.shape[0]
            chunk[name]["items"]["length"] = items.base["value"].itemsize
    return chunk
