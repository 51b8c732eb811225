"""Whole tables to files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote

import httpx

from rosetta.effects import Download, Operation, Request
from rosetta.errors import InvalidRequest
from rosetta.files import scratch
from rosetta.frames import csv_to_parquet, kind_of_postgres_type, need_arrow
from rosetta.progress import transfer_bar
from rosetta.results import Table
from rosetta.wire import compute, decode, send, unreachable

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(table: str, path: Path, form: Format | None, *, progress: bool) -> Operation[Path]:
    """The file, written whole or not at all.

    Raises:
        InvalidRequest: when the format is none, or the file cannot be written.
        NotFound: when there is no such table, with the nearest names.
        ImportError: for Parquet without pyarrow.
    """
    form = _check_format(path, form)
    table = table.removeprefix("analytics.")
    if form == "parquet":
        need_arrow()
    with scratch(path) as rows, scratch(path) as converted:
        yield from _download(table, rows, "jsonl" if form == "jsonl" else "csv", progress=progress)
        if form == "parquet":
            names, types = yield from _columns(table)
            kinds = [kind_of_postgres_type(name) for name in types]
            yield from compute(lambda: csv_to_parquet(rows, converted, names, kinds))
        os.replace(converted if form == "parquet" else rows, path)
    return path


def _check_format(path: Path, form: str | None) -> Format:
    ending = path.suffix.removeprefix(".").lower()
    for known in FORMATS:
        if (form or ending) == known:
            return known
    raise InvalidRequest(f"'{form or path.name}' is no format: choose one of {', '.join(FORMATS)}", format=form)


def _download(table: str, target: Path, form: str, *, progress: bool) -> Operation[None]:
    with transfer_bar(None, "B", f"reading {table}", shown=progress) as bar:
        try:
            yield Download(f"/v1/tables/{quote(table, safe='')}", {"format": form}, target, bar.update)
        except httpx.TransportError as error:
            raise unreachable(error) from error


def _columns(table: str) -> Operation[tuple[tuple[str, ...], tuple[str, ...]]]:
    # The service had a table of that very name a moment ago, or there would be no rows.
    body = {"query": f'SELECT * FROM analytics."{table}" LIMIT 0'}  # noqa: S608
    columns = decode((yield from send(Request("POST", "/v1/sql", body=body))), Table)
    return columns.columns, columns.types
