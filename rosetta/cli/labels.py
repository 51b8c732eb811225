"""`rosetta labels`: what units and concepts answer to, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, keeps_going, print_json, print_rows, watch_job

if TYPE_CHECKING:
    from rosetta.client import Client


def target(text: str) -> str | int:
    """The number of a concept, or the address of a unit."""
    return int(text) if text.isdigit() else text


@click.group(epilog=examples("rosetta labels add dcgan-faces/813 'bright background'", "rosetta labels list"))
def labels() -> None:
    """Say what units and concepts answer to, have it found, list it, remove it."""


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


@labels.command(
    epilog=examples(
        "rosetta labels find --probe faces",
        "rosetta labels find --probe faces --words words.txt --models dcgan-faces,age-net",
        "rosetta labels find --probe photos --masks",
    )
)
@click.option("--probe", required=True, metavar="NAME", help="The probe set.")
@click.option("--masks", is_flag=True, help="By overlap with the probe set's masks. [by an image-text model]")
@click.option(
    "--words",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Words to choose from, one a line. [built-in ones; all that there are masks of]",
)
@click.option("--models", metavar="A,B,...", help="Whose units. [all that were mined there]")
@click.option("--image-text", metavar="MODEL", help="The image-text model. [the only one]")
@click.option("--each", type=click.IntRange(1), metavar="N", help="Words a unit at most. [1]")
@click.option(
    "--top", type=click.IntRange(1), metavar="N", help="Images of a unit that count. [a twentieth, 10 to 100]"
)
@click.option("--q-value", type=float, metavar="Q", help="Only words below it are kept. [0.05]")
@click.option("--quantile", type=float, metavar="P", help="With --masks: a unit is on as rarely. [0.005]")
@click.option("--least-iou", type=float, metavar="IOU", help="With --masks: only words above it are kept. [0.04]")
@connected
def find(
    client: Client,
    probe: str,
    words: Path | None,
    models: str | None,
    image_text: str | None,
    each: int | None,
    top: int | None,
    q_value: float | None,
    quantile: float | None,
    least_iou: float | None,
    *,
    masks: bool,
    as_json: bool,
) -> None:
    """Have units and concepts labelled: with words that an image-text model sees, or things that masks show.

    The labels take the place of those that the same command gave the same units before.
    """
    job = client.find_labels(
        probe,
        by="mask" if masks else "text",
        words=words,
        models=models.split(",") if models else None,
        image_text=image_text,
        each=each,
        top=top,
        q_value=q_value,
        quantile=quantile,
        least_iou=least_iou,
    )
    with keeps_going(job.id):
        job.wait(progress=watch_job())
    if as_json:
        print_json(job.last_seen)
    else:
        count, kind = (job.result or {}).get("labels", 0), "mask" if masks else "text"
        click.echo(f"{count:,} labels: `rosetta labels list --kind {kind} --probe {probe}` lists them")


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
