"""`rosetta directions`: along what a generator's images change most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, keeps_going, print_json, print_rows, watch_job

if TYPE_CHECKING:
    from rosetta.client import Client


@click.group(epilog=examples("rosetta directions find dcgan-faces", "rosetta directions show dcgan-faces"))
def directions() -> None:
    """Find directions of a generator's latents, see what moves along them, and walk."""


@directions.command(epilog=examples("rosetta directions find dcgan-faces --axes 20"))
@click.argument("generator")
@click.option("--layer", metavar="PATH", help="Whose activations are to change most. [w, or the first layer]")
@click.option("--models", metavar="NAME,...", help="Whose units are watched. [all that share units with it]")
@click.option("--probe", metavar="NAME", help="Its concepts say what moves. [the newest]")
@click.option("--axes", type=int, metavar="N", help="How many. [10]")
@click.option("--samples", type=int, metavar="N", help="To find them from. [ten a number of a latent, 2000 at least]")
@click.option("--latents", type=int, metavar="N", help="From where movements are measured. [16]")
@click.option("--controls", type=int, metavar="N", help="Random directions beside them. [64]")
@click.option("--class", "class_index", type=int, metavar="C", help="Of all samples. [each draws its own]")
@click.option("--seed", type=int, metavar="S", help="Of all draws. [0]")
@connected
def find(client: Client, generator: str, models: str | None, *, as_json: bool, **numbers: Any) -> None:
    """Find directions along which a generator changes most."""
    job = client.find_directions(generator, models=models.split(",") if models else None, **numbers)
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    result = job.result or {}
    if as_json:
        print_json(job.last_seen)
    else:
        click.echo(f"{result.get('axes')} directions: {client.url}/directions/{generator}")


@directions.command("list", epilog=examples("rosetta directions list"))
@click.argument("generator", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many. [50]")
@connected
def list_(client: Client, generator: str | None, limit: int, *, as_json: bool) -> None:
    """List directions that were found, newest first."""
    found = client.direction_sets(generator, limit=limit)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no directions: `rosetta directions find GENERATOR` finds them")


def _number(text: str) -> str | int:
    return int(text) if text.isdigit() else text


@directions.command(epilog=examples("rosetta directions show dcgan-faces", "rosetta directions show 3"))
@click.argument("generator", metavar="GENERATOR|ID")
@connected
def show(client: Client, generator: str, *, as_json: bool) -> None:
    """Show the newest directions of a generator, and what moves along each."""
    found = client.directions(_number(generator))
    if as_json:
        print_json(found.about)
    else:
        print_rows(found, none="no directions")


@directions.command(epilog=examples("rosetta directions walk dcgan-faces walk.png --axis 2 --seed 7"))
@click.argument("generator", metavar="GENERATOR|ID")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--axis", type=click.IntRange(0), default=0, metavar="N", help="Which of them, from 0. [0]")
@click.option("--sigma", type=(float, float), default=(-2.0, 2.0), metavar="A B", help="Deviations. [-2 2]")
@click.option("--steps", type=int, default=9, metavar="N", help="How many images. [9]")
@click.option("--seed", type=int, metavar="S", help="Of the image it leads through. [0]")
@click.option("--translation", type=int, metavar="ID", help="Through an image of this translation.")
@click.option("--position", type=int, metavar="N", help="The image's place there. [0]")
@click.option("--size", type=int, metavar="PIXELS", help="Height of an image. [the generator's]")
@connected
def walk(client: Client, generator: str, path: Path, *, as_json: bool, **where: Any) -> None:
    """Write images along a direction, side by side (.png, .webp)."""
    form = path.suffix.lower().removeprefix(".")
    if form not in ("png", "webp"):
        raise click.BadParameter(f"'{path}' ends in neither .png nor .webp", param_hint="PATH")
    found = client.directions(_number(generator))
    client.walk(found, format=form, **where).save(path)  # type: ignore[arg-type]  # one of the two
    if as_json:
        print_json(found.about)
    else:
        click.echo(f"{path}: axis {where['axis']} of {found.about.generator}, {where['steps']} images")
