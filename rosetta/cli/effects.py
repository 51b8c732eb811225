"""`rosetta effects`: what a generator's units cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, keeps_going, print_json, print_rows, watch_job

if TYPE_CHECKING:
    from rosetta.client import Client


@click.group(epilog=examples("rosetta effects find dcgan-faces", "rosetta effects list --unit dcgan-faces/813"))
def effects() -> None:
    """Change units of a generator, and see what that causes in its images and in the units that match them."""


@effects.command(
    epilog=examples("rosetta effects find dcgan-faces", "rosetta effects find dcgan-faces --action boost --amount 3")
)
@click.argument("generator")
@click.option("--models", metavar="NAME,...", help="Who looks at the images. [all that share units with it]")
@click.option("--action", type=click.Choice(["zero", "set", "boost"]), default="zero", help="What happens. [zero]")
@click.option("--amount", type=float, metavar="X", help="Of set, in deviations; of boost, the factor. [4; 2]")
@click.option("--box", type=(float, float, float, float), metavar="X Y W H", help="Pixels. [everywhere]")
@click.option("--probe", metavar="NAME", help="On which they were mined. [the newest]")
@click.option("--k", type=int, metavar="K", help="Each among the other's K best. [as many as mining kept]")
@click.option("--q", "q_value", type=float, metavar="Q", help="Matches below this q-value. [0.05]")
@click.option("--limit", type=int, metavar="N", help="The strongest N matches of each model. [64]")
@click.option("--latents", type=int, metavar="N", help="Images to change. [64]")
@click.option("--controls", type=int, metavar="N", help="Random other units of each layer. [100]")
@click.option("--seed", type=int, metavar="S", help="Of the images. [the probe set's + 1]")
@connected
def find(
    client: Client,
    generator: str,
    models: str | None,
    action: Any,
    amount: float | None,
    box: tuple[float, float, float, float] | None,
    probe: str | None,
    k: int | None,
    q_value: float | None,
    limit: int | None,
    latents: int | None,
    controls: int | None,
    seed: int | None,
    *,
    as_json: bool,
) -> None:
    """Measure what the units cause that other models match; fewer images or controls than usual give no verdict."""
    job = client.intervene(
        generator,
        models.split(",") if models else None,
        action=action,
        amount=amount,
        box=box,
        probe=probe,
        k=k,
        q_value=q_value,
        limit=limit,
        latents=latents,
        controls=controls,
        seed=seed,
    )
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    if as_json:
        print_json(job.last_seen)
        return
    for model, count in (job.result or {}).items():
        click.echo(f"{count:,} pairs with {model}: `rosetta effects list --model {model} --action {action}`")


@effects.command("list", epilog=examples("rosetta effects list --unit dcgan-faces/813", "rosetta effects list --json"))
@click.option("--unit", metavar="UNIT", help="That was changed, or watched.")
@click.option("--model", metavar="MODEL|FAMILY", help="A generator, or who looked at its images.")
@click.option("--probe", metavar="NAME", help="On which the matches were mined.")
@click.option("--action", type=click.Choice(["zero", "set", "boost"]), help="What happened. [all]")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many. [50]")
@connected
def list_(
    client: Client,
    unit: str | None,
    model: str | None,
    probe: str | None,
    action: Any,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """List effects, the strongest responses first."""
    found = client.effects(unit, model=model, probe=probe, action=action, limit=limit)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no effects: `rosetta effects find GENERATOR` measures them")
