"""`rosetta sql` and `rosetta export`: the tables themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, print_json, print_sql, say
from rosetta.errors import InvalidRequest

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.exports import Format


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
        twice = [name for name in rows.columns if rows.columns.count(name) > 1]
        if twice:
            raise InvalidRequest(f"two columns are named {twice[0]}: name one differently, with AS")
        print_json([dict(zip(rows.columns, row, strict=True)) for row in rows])
        if rows.truncated:
            say(f"rosetta: only the first {len(rows):,} rows")
    else:
        print_sql(rows)


@click.command(
    epilog=examples(
        "rosetta export matches --format parquet --out matches.parquet",
        "rosetta export neuron_pairs --out pairs.csv",
    )
)
@click.argument("table")
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "jsonl"]), help="[the file's ending]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE", help="The file.")
@connected
def export(client: Client, table: str, form: Format | None, out: Path, *, as_json: bool) -> None:
    """Write a whole table of the schema analytics to a file.

    Tables: models, layers, units, unit_statistics, exemplars, probe_sets, comparisons, matches, neuron_pairs,
    sharing_by_layer, model_pairs, concepts, concept_members.
    """
    path = client.export(table, out, form, progress=sys.stderr.isatty())
    if as_json:
        print_json({"table": table, "file": str(path), "bytes": path.stat().st_size})
    else:
        say(f"{table} is in {path} ({path.stat().st_size:,} bytes)")
