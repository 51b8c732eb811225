"""`rosetta demo`: from nothing to an answer, with four real, trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rosetta.cli.ask import print_answer
from rosetta.cli.output import examples, keeps_going, print_rows, say, watch_job
from rosetta.cli.stack import needs_server

if TYPE_CHECKING:
    from rosetta.client import Client

MODELS = ("dcgan-faces", "efficientnet-lite0", "mobilenet-v2", "age-net")
PROBE = "faces"
PICTURE = "demo-concept.png"
_CONCEPT = """SELECT c.concept FROM analytics.concepts c JOIN analytics.concept_members m USING (concept)
WHERE c.probe_set = 'faces' AND c.is_newest AND m.model = 'dcgan-faces' AND m.unit = 813"""
QUESTION = "which neurons in EfficientNet match DCGAN unit 813?"


@click.command(epilog=examples("rosetta demo", "rosetta demo --exit --images 100"))
@click.option("--images", default=200, show_default=True, type=click.IntRange(2), help="Generated faces to mine on.")
@click.option("--exit", "stop", is_flag=True, help="Stop everything after the answer.")
@needs_server
def demo(images: int, *, stop: bool) -> None:
    """Mine four real networks and ask them one question.

    A generator of faces, two classifiers of ImageNet and one of ages see the same generated faces; every unit of each
    is compared with every unit of the others. What was mined before is not mined again.
    """
    from rosetta.client import Client
    from service import local
    from service.stack import configuration

    settings = configuration.load()
    state = local.up(settings, detach=True, tell=say)
    try:
        with Client(state.url) as client:
            _mine(client, images)
            say("")
            click.echo(click.style(QUESTION, bold=True))
            print_answer(client.ask(QUESTION, probe=PROBE))
            _draw(client, settings.data_dir / PICTURE)
    finally:
        if stop:
            local.down(settings.data_dir, tell=say)
    if not stop:
        _say_what_next(state.url, settings.data_dir)


def _mine(client: Client, images: int) -> None:
    """Register, make the probe set and mine, as far as it is not done."""
    present = {model.name for model in client.models()}
    for name in MODELS:
        if name not in present:
            job = client.add_model(name, f"demo:{name}", wait=False)
            with keeps_going(job.id):
                job.wait(progress=False)
            model = client.model(name)
            say(f"registered {name}: {model.units:,} units in {len(model.layers)} layers")
    if PROBE not in {probe.name for probe in client.probes()}:
        client.add_probe(PROBE, generator="dcgan-faces", count=images, seed=0)
        say(f"made the probe set {PROBE}: {images:,} generated faces")
    job = client.mine(PROBE, MODELS)
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    say("\nhow much they share (`by chance`: best buddies when the images are permuted):")
    print_rows(client.pairs(probe=PROBE), none="", without={"probe set"})


def _draw(client: Client, path: Path) -> None:
    """Draw the concept that the unit of the question is in; of too few images it may be in none."""
    job = client.find_concepts(PROBE)  # mining has asked for it: this is that job
    if job.status != "done":
        with keeps_going(job.id):
            job.wait(progress=watch_job())
    for (number,) in client.sql(_CONCEPT):
        concept = client.concept(number)
        concept.grid().save(path)
        click.echo(f"\nwhat {', '.join(concept.models)} see alike (concept {concept.id}): {path}")


def _say_what_next(url: str, data_dir: Path) -> None:
    click.echo(f"\nRosetta is up: {click.style(url, bold=True)}")
    click.echo(f'  ask   rosetta ask "how many neurons do DCGAN and MobileNet share?"\n  data  {data_dir}')
    click.echo("  stop  rosetta down")
