"""Whole tables of `analytics` as streams, by COPY: one snapshot, of any length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Literal

import psycopg
from psycopg import sql

from service.database import reader
from service.queries.names import not_found

Format = Literal["csv", "jsonl"]

_CHUNK_BYTES = 1 << 16
# A reader of a table may be slow, and COPY lasts as long as it reads.
_TIMEOUT = "30min"
# JSON escapes control characters, so that these never occur in a line, and none needs quoting.
_OPTIONS = {
    "csv": sql.SQL("(FORMAT csv, HEADER)"),
    "jsonl": sql.SQL(r"(FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')"),
}
_COLUMNS = """
SELECT a.attname, a.atttypid::regtype::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname = %s AND a.attnum > 0 ORDER BY a.attnum
"""
_NAMES = "SELECT viewname FROM pg_views WHERE schemaname = 'analytics' ORDER BY viewname"


def stream(url: str, table: str, form: Format) -> Iterator[bytes]:
    """The rows of a view of `analytics`, in pieces.

    CSV has a line of names first, `true` and `false`, and arrays as JSON; a missing value is nothing, and an empty
    text is `""`. JSON Lines has one object a line.

    Args:
        url: of the database, the owner's; the rows are read by the reader.
        table: the view's name, without `analytics`.
        form: `csv` or `jsonl`.

    Raises:
        NotFound: when there is no such view, with the nearest names; before the first piece is asked for.
        Unavailable: when the reader cannot log in; likewise.
    """
    with closing(reader.connect(url)) as connection:
        columns = connection.execute(_COLUMNS, [table]).fetchall()
        if not columns:
            names = [name for (name,) in connection.execute(_NAMES)]
            raise not_found("table", table, names, f"there are {', '.join(names)}")
    return _pieces(url, _copy(table, columns, form))


def _copy(table: str, columns: list[tuple[str, str]], form: Format) -> sql.Composed:
    source = sql.SQL("analytics.{} t").format(sql.Identifier(table))
    if form == "jsonl":
        selected: sql.Composable = sql.SQL("row_to_json(t)")
    else:
        selected = sql.SQL(", ").join(_csv_value(name, kind) for name, kind in columns)
    return sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT {}").format(selected, source, _OPTIONS[form])


def _csv_value(name: str, kind: str) -> sql.Composed:
    column = sql.Identifier(name)
    if kind == "boolean":
        return sql.SQL("{0}::text AS {0}").format(column)
    if kind.endswith("[]"):
        return sql.SQL("to_jsonb({0}) AS {0}").format(column)
    return sql.SQL("{}").format(column)


def _pieces(url: str, statement: sql.Composed) -> Iterator[bytes]:
    with closing(reader.connect(url)) as connection:
        _prepare(connection)
        gathered = bytearray()
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in copy:
                gathered += row
                if len(gathered) >= _CHUNK_BYTES:
                    yield bytes(gathered)
                    gathered.clear()
        yield bytes(gathered)


def _prepare(connection: psycopg.Connection) -> None:
    for name, value in {"statement_timeout": _TIMEOUT, "timezone": "UTC"}.items():
        connection.execute("SELECT set_config(%s, %s, true)", [name, value])
