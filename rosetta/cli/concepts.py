"""`rosetta concepts`: list, show, find."""

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
    print_pairs,
    print_rows,
    print_table,
    save_picture,
    watch_job,
)

if TYPE_CHECKING:
    from rosetta.client import Client


@click.group(epilog=examples("rosetta concepts list --probe faces --min-models 3"))
def concepts() -> None:
    """List, show and find concepts: sets of units of several models that belong together."""


@concepts.command("list", epilog=examples("rosetta concepts list --probe faces --min-models 3"))
@click.option("--probe", metavar="NAME", help="The probe set. [all of them]")
@click.option("--min-models", type=click.IntRange(2), default=2, metavar="N", help="Models it spans at least. [2]")
@click.option("--model", metavar="MODEL|FAMILY", help="Only those with a unit of it.")
@click.option("--version", type=click.IntRange(1), metavar="N", help="Of the probe set's concepts. [the newest]")
@click.option(
    "--order",
    type=click.Choice(["models", "cohesion", "stability", "units"]),
    default="models",
    help="What comes first. [models, then cohesion]",
)
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many. [50]")
@connected
def list_(
    client: Client,
    probe: str | None,
    min_models: int,
    model: str | None,
    version: int | None,
    order: Any,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """List concepts, those of most models first."""
    found = client.concepts(probe, min_models=min_models, model=model, version=version, order=order, limit=limit)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no concepts: mine more models, or more images", without={"probe set"} if probe else ())


@concepts.command(epilog=examples("rosetta concepts show 1", "rosetta concepts show 1 --png concept.png"))
@click.argument("concept", type=int, metavar="ID")
@png_option("Draw its units on the same images, a row a model.")
@connected
def show(client: Client, concept: int, png: Path | None, *, as_json: bool) -> None:
    """Show a concept and its units."""
    from rosetta.views import number, probability

    found = client.concept(concept)
    if png is not None:
        save_picture(found.grid(), png)
    if as_json:
        print_json(found.as_result())
        return
    print_pairs(
        {
            "concept": str(found.id),
            "probe set": f"{found.probe_set}, version {found.version}",
            "models": ", ".join(found.models),
            "cohesion": f"{number(found.cohesion)}: mean r of its pairs of best buddies",
            "stability": f"{number(found.stability, 2)}: how much of it comes back with other seeds",
            "q": f"{probability(found.q_value)}: of its weakest pair",
        }
    )
    click.echo()
    print_table(found.members.view(), found.members)


@concepts.command(epilog=examples("rosetta concepts find --probe faces --resolution 0.3"))
@click.option("--probe", required=True, metavar="NAME", help="The probe set.")
@click.option("--resolution", type=float, metavar="R", help="The least mean r inside a concept. [0.2]")
@click.option("--q-value", type=float, metavar="Q", help="Only best buddies below it count. [0.05]")
@click.option("--k", type=click.IntRange(1), metavar="K", help="Each among the other's K best. [3]")
@click.option("--seed", type=int, metavar="S", help="Of the communities. [0]")
@connected
def find(
    client: Client,
    probe: str,
    resolution: float | None,
    q_value: float | None,
    k: int | None,
    seed: int | None,
    *,
    as_json: bool,
) -> None:
    """Find the concepts of a probe set anew, with other numbers than mining does; older versions stay readable."""
    job = client.find_concepts(probe, resolution=resolution, q_value=q_value, k=k, seed=seed)
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    result = job.result or {}
    if as_json:
        print_json(job.last_seen)
    else:
        count, version = result.get("concepts", 0), result.get("version")
        click.echo(f"{count:,} concepts in version {version}: `rosetta concepts list --probe {probe}` lists them")
