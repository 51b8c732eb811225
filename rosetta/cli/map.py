"""`rosetta map`: list, make, save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, keeps_going, print_json, print_rows, watch_job

if TYPE_CHECKING:
    from rosetta.client import Client


@click.group(epilog=examples("rosetta map save faces faces.png --colour concept"))
def map_() -> None:
    """List, make and save maps: all units of a probe set in two dimensions, near where they fire alike."""


@map_.command("list", epilog=examples("rosetta map list --probe faces"))
@click.option("--probe", metavar="NAME", help="The probe set. [all of them]")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many. [50]")
@connected
def list_(client: Client, probe: str | None, limit: int, *, as_json: bool) -> None:
    """List maps, newest first."""
    found = client.maps(probe, limit=limit)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no maps: every mine is followed by one", without={"probe set"} if probe else ())


@map_.command(epilog=examples("rosetta map make --probe faces --n-neighbors 50"))
@click.option("--probe", required=True, metavar="NAME", help="The probe set.")
@click.option("--n-neighbors", type=int, metavar="N", help="Of each unit, kept near: few show detail. [15]")
@click.option("--min-dist", type=float, metavar="D", help="How near points may lie, from 0 to below 1. [0.1]")
@click.option("--seed", type=int, metavar="S", help="Of the layout. [0]")
@connected
def make(
    client: Client, probe: str, n_neighbors: int | None, min_dist: float | None, seed: int | None, *, as_json: bool
) -> None:
    """Make a map of a probe set with other numbers than mining does; older versions stay readable."""
    job = client.make_map(probe, n_neighbors=n_neighbors, min_dist=min_dist, seed=seed)
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    result = job.result or {}
    if as_json:
        print_json(job.last_seen)
    else:
        units, version = result.get("units", 0), result.get("version")
        click.echo(f"{units:,} units on version {version}: {client.url}/map?probe={probe}&version={version}")


@map_.command(epilog=examples("rosetta map save faces faces.png", "rosetta map save faces faces.csv --version 2"))
@click.argument("probe")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--version", type=click.IntRange(1), metavar="N", help="Of the probe set's maps. [the newest]")
@click.option(
    "--colour", type=click.Choice(["model", "layer", "concept"]), default="model", help="Of the picture. [model]"
)
@click.option("--size", type=click.IntRange(100, 2048), default=1600, metavar="PIXELS", help="Its width. [1600]")
@connected
def save(client: Client, probe: str, path: Path, version: int | None, colour: Any, size: int, *, as_json: bool) -> None:
    """Save a map as a picture (.png), or its points as a table (.csv)."""
    if path.suffix.lower() not in (".png", ".csv"):
        raise click.BadParameter(f"'{path}' ends in neither .png nor .csv", param_hint="PATH")
    found = client.map(probe, version=version)
    if path.suffix.lower() == ".png":
        path.write_bytes(client.map_picture(found.about.id, colour, size=size))
    else:
        found.to_pandas().to_csv(path, index=False)
    if as_json:
        print_json(found.about)
    else:
        click.echo(f"{path}: {len(found):,} units, version {found.about.version}")
