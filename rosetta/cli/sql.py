"""`rosetta sql` and `rosetta export`: the tables themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, print_json, print_sql, say

if TYPE_CHECKING:
    from rosetta.client import Client


@click.command(
    epilog=examples(
        'rosetta sql "SELECT name, family, units FROM analytics.models"',
        'rosetta sql "SELECT * FROM analytics.matches WHERE q_value < 0.05 LIMIT 20" --json',
    )
)
@click.argument("query")
@connected
def sql(client: Client, query: str, *, as_json: bool) -> None:
    """Run one SQL query over the views of the schema analytics, read-only. `-` reads it from stdin."""
    rows = client.sql(sys.stdin.read() if query == "-" else query)
    if as_json:
        print_json([dict(zip(rows.columns, row, strict=True)) for row in rows])
        if rows.truncated:
            say(f"rosetta: only the first {len(rows):,} rows")
    else:
        print_sql(rows)
