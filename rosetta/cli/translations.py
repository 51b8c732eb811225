"""`rosetta translations`: what inversions and edits made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, keeps_going, print_json, print_rows, print_table, watch_job

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.handles import JobHandle
    from rosetta.translation_handles import TranslationHandle


@click.group(epilog=examples("rosetta translations list", "rosetta translations show 1 --out made/"))
def translations() -> None:
    """List, show, make again and remove what inversions and edits made."""


@translations.command("list", epilog=examples("rosetta translations list --generator dcgan"))
@click.option("--generator", metavar="MODEL|FAMILY", help="Of this generator. [any]")
@click.option("--kind", type=click.Choice(["inversion", "edit"]), help="Of one kind. [both]")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many. [50]")
@connected
def list_(client: Client, generator: str | None, kind: Any, limit: int, *, as_json: bool) -> None:
    """List translations, newest first."""
    found = client.translations(generator, kind=kind, limit=limit)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no translations: `rosetta invert GENERATOR IMAGE` makes one")


@translations.command(epilog=examples("rosetta translations show 1 --out made/"))
@click.argument("translation", type=int, metavar="ID")
@click.option("--out", type=click.Path(file_okay=False), metavar="DIR", help="Write its pictures and recipe there.")
@connected
def show(client: Client, translation: int, out: str | None, *, as_json: bool) -> None:
    """Show a translation and its images."""
    tell(client.translation(translation), out, as_json=as_json)


@translations.command(epilog=examples("rosetta translations run made/recipe.json"))
@click.argument("recipe", type=click.Path(dir_okay=False), metavar="FILE")
@click.option("--again", is_flag=True, help="Also when it was carried out here.")
@click.option("--out", type=click.Path(file_okay=False), metavar="DIR", help="Write pictures and recipe there.")
@connected
def run(client: Client, recipe: str, out: str | None, *, again: bool, as_json: bool) -> None:
    """Carry out a recipe: on the same device it makes the same images, bit for bit."""
    from rosetta.errors import InvalidRequest

    try:
        value = json.loads(Path(recipe).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{recipe} is no recipe: {error}") from error
    finish(client, client.run_recipe(value, again=again), out, as_json=as_json)


@translations.command(epilog=examples("rosetta translations remove 1"))
@click.argument("translation", type=int, metavar="ID")
@connected
def remove(client: Client, translation: int, *, as_json: bool) -> None:
    """Remove a translation; edits of it stay."""
    client.remove_translation(translation)
    if as_json:
        print_json({"removed": translation})
    else:
        click.echo(f"removed translation {translation}")


def finish(client: Client, job: JobHandle, out: str | None, *, as_json: bool) -> None:
    """Waits for a job that steers, and shows what it made."""
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    tell(client.translation(job), out, as_json=as_json)


def tell(made: TranslationHandle, out: str | None, *, as_json: bool) -> None:
    """A translation for people or programs, and its files where a folder is named."""
    if out is not None:
        save(made, Path(out).expanduser())
    if as_json:
        print_json(made.as_result())
        return
    click.echo(str(made))
    print_table(made.items.view(), made.items)
    if out is not None:
        click.echo(f"pictures and recipe.json are in {out}")


def save(made: TranslationHandle, folder: Path) -> None:
    """Writes `N.png`, `N-target.png` and `recipe.json`, each whole or not at all.

    Raises:
        InvalidRequest: when they cannot be written there.
    """
    from rosetta.errors import InvalidRequest
    from rosetta.files import write_whole

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be made: {error.strerror}", path=str(folder)) from error
    for item in made.items:
        made.picture(item.position).save(folder / f"{item.position}.png")
        made.picture(item.position, "target").save(folder / f"{item.position}-target.png")
    write_whole(folder / "recipe.json", json.dumps(made.recipe, indent=1).encode())
