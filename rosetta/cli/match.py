"""`rosetta match`: which units match a unit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import (
    connected,
    examples,
    keeps_going,
    png_option,
    print_json,
    print_rows,
    print_text,
    save_picture,
    watch_job,
)

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.results import CorrelatedMatch
    from rosetta.rows import Rows
    from rosetta.units import UnitHandle

_EXACT_ALONE = {"q", "best buddy", "rank back"}  # columns that sketches cannot fill


@click.command(
    epilog=examples(
        "rosetta match dcgan-faces 813 --in efficientnet",
        "rosetta match dcgan-faces/main.8:45 --best-buddies",
        "rosetta match dcgan-faces 813 --approximate --exact",
        "rosetta match dcgan-faces 813 --png unit.png",
    )
)
@click.argument("model")
@click.argument("unit", required=False)
@click.option("--in", "into", metavar="MODEL|FAMILY", help="Where to look. [every model it was mined with]")
@click.option("--top", type=click.IntRange(1), metavar="N", help="Matches in each model. [10]")
@click.option("--best-buddies", is_flag=True, help="Only units that match each other best.")
@click.option("--approximate", is_flag=True, help="Estimate from sketches, also in models never compared with it.")
@click.option("--exact", is_flag=True, help="With --approximate: correlate what it finds exactly, in a job.")
@click.option("--probe", metavar="NAME", help="The probe set. [the newest one of each pair of models]")
@png_option("Draw the unit and its matches on the same images; the best of each model unless --top says more.")
@connected
def match(
    client: Client,
    model: str,
    unit: str | None,
    into: str | None,
    top: int | None,
    probe: str | None,
    png: Path | None,
    *,
    best_buddies: bool,
    approximate: bool,
    exact: bool,
    as_json: bool,
) -> None:
    """Show which units of other models match a unit.

    UNIT is its number in the model, or layer:channel; MODEL/LAYER:CHANNEL in one piece does as well.
    """
    if best_buddies and approximate:
        raise click.UsageError("--best-buddies are of exact matches: leave out --approximate")
    if exact and not approximate:
        raise click.UsageError("--exact goes with --approximate: without it, matches are exact")
    if png is not None and approximate:
        raise click.UsageError("--png draws exact matches: leave out --approximate")
    handle = client.unit(model, unit)
    if exact:
        found: Rows[Any] = _correlated(handle, into, top, probe)
    else:
        found = handle.matches(into, top, best_buddies=best_buddies, approximate=approximate, probe=probe)
    if png is not None:
        save_picture(handle.grid(into, top or 1, best_buddies=best_buddies, probe=probe), png)
    if as_json:
        print_json(list(found))
        return
    _print(handle, found, into, "best buddy" if best_buddies else "match", _EXACT_ALONE if approximate else set())
    if approximate and not exact and found:
        print_text("approximate: estimated from sketches; add --exact to correlate these candidates exactly")


def _correlated(unit: UnitHandle, into: str | None, top: int | None, probe: str | None) -> Rows[CorrelatedMatch]:
    job = unit.correlate(into, **({} if top is None else {"top": top}), probe=probe)
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    return job.matches


def _print(unit: UnitHandle, found: Rows[Any], into: str | None, what: str, without: set[str]) -> None:
    where = f" in {into}" if into else ""
    probes = sorted({row.probe_set for row in found})
    on = f", on probe set {probes[0]}" if len(probes) == 1 else ""
    click.echo(f"unit {unit.number} of {unit.model} ({unit.layer}:{unit.channel}, {unit.height}x{unit.width}){on}")
    print_rows(found, none=f"no {what}{where}", without={"unit"} | ({"probe set"} if on else set()) | without)
