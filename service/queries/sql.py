"""SQL of users, by the role that can read `analytics` and nothing else."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Generator, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import islice
from typing import Any, cast

import psycopg
from psycopg import errors

from rosetta.errors import InvalidRequest, Unavailable
from rosetta.results import Table
from service.database import reader

DEFAULT_ROWS = 10_000
LARGEST_ROWS = 100_000
_PLAIN = (bool, int, float, str, type(None), datetime.date, datetime.time, uuid.UUID)
_AT_ONCE = 500  # rows on their way at a time


def run(url: str, statement: str, limit: int = DEFAULT_ROWS) -> Table:
    """The rows of one statement, as far as the limit.

    Args:
        url: of the database, the owner's; the statement runs as the reader.
        statement: one SQL statement.
        limit: rows at most; `truncated` says that there were more.

    Raises:
        InvalidRequest: when Postgres refuses the statement, with its reason, or it takes too long.
        Unavailable: when the reader cannot log in.
    """
    if not 1 <= limit <= LARGEST_ROWS:
        raise InvalidRequest(f"limit must be between 1 and {LARGEST_ROWS}, not {limit}", limit=limit)
    if "\0" in statement:
        raise InvalidRequest("the query holds a NUL character")
    if not statement.strip():
        raise InvalidRequest("the query is empty: write one statement, such as SELECT * FROM analytics.models")
    with closing(reader.connect(url)) as connection, connection.cursor() as cursor:
        try:
            # One statement by the extended protocol, its rows one batch at a time: what is not wanted never comes.
            rows = cast("Generator[tuple[Any, ...]]", cursor.stream(statement.encode(), size=_AT_ONCE))
            found = [tuple(map(plain, row)) for row in islice(rows, limit + 1)]
            rows.close()
            columns = [(column.name, column.type_code) for column in cursor.description or ()]
            columns = columns or _described(connection, statement)
            types = _types(connection, [oid for _, oid in columns])
        except psycopg.Error as error:
            raise _refused(error) from error
    return Table(
        columns=tuple(name for name, _ in columns),
        types=types,
        rows=tuple(found[:limit]),
        truncated=len(found) > limit,
    )


def plain(value: Any) -> Any:
    """A value that JSON has a word for; a number stays a number, and what is none of those becomes its text."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return str(value)


def _described(connection: psycopg.Connection, statement: str) -> list[tuple[str, int]]:
    """The names and type oids of a statement's columns; a stream without rows does not tell them."""
    connection.pgconn.prepare(b"", statement.encode())
    result = connection.pgconn.describe_prepared(b"")
    return [((result.fname(index) or b"").decode(), result.ftype(index)) for index in range(result.nfields)]


def _types(connection: psycopg.Connection, oids: Sequence[int]) -> tuple[str, ...]:
    """The names of Postgres types."""
    known = {
        oid: f"{info.name}[]" if oid == info.array_oid else info.name
        for oid in oids
        if (info := connection.adapters.types.get(oid))
    }
    if unknown := [oid for oid in set(oids) if oid not in known]:
        connection.rollback()
        query = "SELECT oid, format_type(oid, NULL) FROM pg_type WHERE oid = ANY(%s)"
        known |= dict(connection.execute(query, [unknown]).fetchall())
    return tuple(known.get(oid, "unknown") for oid in oids)


def _refused(error: psycopg.Error) -> InvalidRequest | Unavailable:
    """The error that Postgres's refusal stands for, with its reason in one line."""
    reason = (error.diag.message_primary or str(error).strip() or type(error).__name__).splitlines()[0]
    kind: type[InvalidRequest | Unavailable] = InvalidRequest
    if isinstance(error, errors.QueryCanceled):
        message = "the query took longer than a query may: ask for less, or aggregate"
    elif isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        message = f"refused by Postgres: {reason}; `sql` reads the views of schema analytics"
    elif "multiple commands" in reason:
        message = "one statement at a time: send them one after another"
    elif error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        kind, message = Unavailable, f"the database went away during the query ({reason}): try again"
    elif error.sqlstate is None and isinstance(error, psycopg.DataError):
        message = f"a value has no JSON ({reason}): cast it to text"
    elif error.sqlstate is None:
        message = "the statement gives no rows: write a query"
    else:
        position = f" at character {error.diag.statement_position}" if error.diag.statement_position else ""
        hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
        message = f"SQL: {reason}{position}{hint}"
    return kind(message, sqlstate=error.sqlstate)
