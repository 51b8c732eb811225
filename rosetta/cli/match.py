"""`rosetta match`: which units match a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, print_json, print_rows

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.handles import UnitHandle
    from rosetta.results import Match
    from rosetta.rows import Rows


@click.command(
    epilog=examples(
        "rosetta match dcgan-faces 813 --in efficientnet", "rosetta match dcgan-faces/main.8:45 --best-buddies"
    )
)
@click.argument("model")
@click.argument("unit", required=False)
@click.option("--in", "into", metavar="MODEL|FAMILY", help="Where to look. [every model it was mined with]")
@click.option("--top", type=click.IntRange(1), metavar="N", help="Matches in each model. [10]")
@click.option("--best-buddies", is_flag=True, help="Only units that match each other best.")
@click.option("--probe", metavar="NAME", help="The probe set. [the newest one of each pair of models]")
@connected
def match(
    client: Client,
    model: str,
    unit: str | None,
    into: str | None,
    top: int | None,
    probe: str | None,
    *,
    best_buddies: bool,
    as_json: bool,
) -> None:
    """Show which units of other models match a unit.

    UNIT is its number in the model, or layer:channel; MODEL/LAYER:CHANNEL in one piece does as well.
    """
    handle = client.unit(model, unit)
    found = handle.matches(into, top, best_buddies=best_buddies, probe=probe)
    if as_json:
        print_json(list(found))
    else:
        _print(handle, found, into, best_buddies=best_buddies)


def _print(unit: UnitHandle, found: Rows[Match], into: str | None, *, best_buddies: bool) -> None:
    where = f" in {into}" if into else ""
    probes = sorted({row.probe_set for row in found})
    on = f", on probe set {probes[0]}" if len(probes) == 1 else ""
    click.echo(f"unit {unit.number} of {unit.model} ({unit.layer}:{unit.channel}, {unit.height}x{unit.width}){on}")
    what = "best buddy" if best_buddies else "match"
    print_rows(found, none=f"no {what}{where}", without={"unit"} | ({"probe set"} if on else set()))
