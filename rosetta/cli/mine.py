"""`rosetta mine`: compare models on a probe set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, keeps_going, print_json, print_rows, watch_job

if TYPE_CHECKING:
    from rosetta.client import Client


@click.command(
    epilog=examples(
        "rosetta mine --probe faces --wait",
        "rosetta mine --probe faces --models dcgan-faces,clip-rn50",
        "rosetta mine --probe faces --models newcomer --sketch-only --wait",
    )
)
@click.option("--probe", required=True, metavar="NAME", help="The probe set.")
@click.option("--models", multiple=True, metavar="A,B,...", help="Models to compare. [all that fit the probe set]")
@click.option("--keep", type=int, default=10, metavar="K", help="Matches kept of a unit in each model. [10]")
@click.option("--sketch-only", is_flag=True, help="Compare nothing yet: take statistics, sketches and exemplars alone.")
@click.option(
    "--parts", type=click.IntRange(1), default=1, metavar="N", help="Parts at least, for workers to share. [1]"
)
@click.option("--wait", is_flag=True, help="Show a progress bar, and then how much the models share.")
@connected
def mine(
    client: Client,
    probe: str,
    models: tuple[str, ...],
    keep: int,
    parts: int,
    *,
    sketch_only: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Compare models on a probe set. What is stored already is not computed again.

    One model alone is compared with every model that was mined on the probe set before. With --sketch-only each model
    runs once over the probe set, and `rosetta match --approximate` answers from its sketches.
    """
    names = [name.strip() for several in models for name in several.split(",") if name.strip()]
    if models and not names:
        raise click.UsageError("--models names no model")
    job = client.mine(probe, names or None, keep, sketch_only=sketch_only, parts=parts)
    if wait and job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    if as_json:
        print_json(job.last_seen)
    elif job.status == "done":
        models_done = job.last_seen.parameters.get("models") or []
        _print_done(client, job.id, probe, models_done, sketch_only=sketch_only, again=job.already_done)
    else:
        click.echo(f"job {job.id} is {job.status}: `rosetta jobs watch {job.id}` follows it")


def _print_done(client: Client, job_id: int, probe: str, models: list[str], *, sketch_only: bool, again: bool) -> None:
    click.echo(f"job {job_id} is done" + (": all of it was mined before" if again else ""))
    if sketch_only:
        click.echo(f"sketched: {', '.join(models)}; `rosetta match MODEL UNIT --approximate` finds what is like a unit")
        return
    among = set(models)
    pairs = client.pairs(probe=probe)
    chosen = pairs.where(lambda pair: {pair.model, pair.neighbour_model} <= among)
    print_rows(chosen, none="no pairs of models", without={"probe set"})
