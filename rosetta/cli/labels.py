"""`rosetta labels`: what units and concepts answer to, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, print_json, print_rows

if TYPE_CHECKING:
    from rosetta.client import Client


def target(text: str) -> str | int:
    """The number of a concept, or the address of a unit."""
    return int(text) if text.isdigit() else text


@click.group(epilog=examples("rosetta labels add dcgan-faces/813 'bright background'", "rosetta labels list"))
def labels() -> None:
    """Say what units and concepts answer to, list it, remove it."""


@labels.command(epilog=examples("rosetta labels add dcgan-faces/813 'bright background' --author ada"))
@click.argument("target_", metavar="UNIT|CONCEPT")
@click.argument("text", metavar="TEXT")
@click.option("--author", metavar="NAME", help="Who says so. [anonymous]")
@connected
def add(client: Client, target_: str, text: str, author: str | None, *, as_json: bool) -> None:
    """Label a unit, by its address, or a concept, by its number."""
    made = client.label(target(target_), text, author=author)
    if as_json:
        print_json(made)
    else:
        click.echo(f"label {made.id}: {made.text}")


@labels.command("list", epilog=examples("rosetta labels list", "rosetta labels list dcgan-faces/813"))
@click.argument("target_", metavar="[UNIT|CONCEPT]", required=False)
@click.option("--members", is_flag=True, help="Of the concept's members in its place.")
@click.option("--kind", type=click.Choice(["person", "text", "mask"]), help="Of one kind. [all]")
@click.option("--text", metavar="WORDS", help="That have these words.")
@click.option("--model", metavar="MODEL|FAMILY", help="Of its units.")
@click.option("--probe", metavar="NAME", help="Measured on this probe set.")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many. [50]")
@connected
def list_(
    client: Client,
    target_: str | None,
    kind: Any,
    text: str | None,
    model: str | None,
    probe: str | None,
    limit: int,
    *,
    members: bool,
    as_json: bool,
) -> None:
    """List labels, newest first."""
    of = None if target_ is None else target(target_)
    found = client.labels(of, members=members, kind=kind, text=text, model=model, probe=probe, limit=limit)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no labels: `rosetta labels add UNIT TEXT` gives one")


@labels.command(epilog=examples("rosetta labels remove 7"))
@click.argument("label", type=int, metavar="ID")
@connected
def remove(client: Client, label: int, *, as_json: bool) -> None:
    """Remove a label."""
    gone = client.remove_label(label)
    if as_json:
        print_json(gone)
    else:
        click.echo(f"removed label {gone.id}: {gone.text}")
