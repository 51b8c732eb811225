"""`rosetta models`: layers, add, list, show, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rosetta.cli.output import (
    connected,
    examples,
    keeps_going,
    print_json,
    print_pairs,
    print_rows,
    print_table,
    say,
    watch_job,
)

if TYPE_CHECKING:
    from rosetta.client import Client


@click.group(epilog=examples("rosetta models add clip-rn50 --source open_clip:RN50/openai"))
def models() -> None:
    """Add, list, show and remove models; show a network's layers before."""


@models.command(
    epilog=examples(
        "rosetta models layers timm:resnet50.a1_in1k",
        "rosetta models layers timm:resnet18 --weights resnet18.safetensors --layers 'layer?.*.act2'",
        "rosetta models layers onnx:age.onnx --all",
    )
)
@click.argument("source")
@click.option("--weights", metavar="FILE", help="A weight file here, or in a weights folder of the service.")
@click.option(
    "--layers", "globs", multiple=True, metavar="GLOB", help="As for `models add`: see which modules they choose."
)
@click.option(
    "--depth", type=click.IntRange(1), metavar="N", help="How many levels to show. [one more than the layers need]"
)
@click.option("--all", "everything", is_flag=True, help="A line for every module, also where several are alike.")
@connected
def layers(
    client: Client,
    source: str,
    weights: str | None,
    globs: tuple[str, ...],
    depth: int | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Show the modules of a network and what they give, before anything is registered.

    `layer` marks those that `rosetta models add` would record. Numbered modules that are alike share a line.
    """
    from rosetta.cli.tree import print_choice, print_tree
    from rosetta.operations import modules

    watch = watch_job()
    job = client.layers(source, weights, globs or None, wait=False, progress=watch is True)
    with keeps_going(job.id):
        job.wait(progress=watch)
    found = modules(job.last_seen)
    if as_json:
        print_json(list(found))
        return
    print_tree(found, depth=depth, everything=everything)
    print_choice(found, source, weights, globs)


@models.command(
    epilog=examples(
        "rosetta models add clip-rn50 --source open_clip:RN50/openai",
        "rosetta models add mine --source timm:resnet18 --weights resnet18.safetensors --layers 'layer?'",
        "rosetta models add age-net --source onnx:age.onnx",
    )
)
@click.argument("name")
@click.option("--source", required=True, metavar="SOURCE", help="A URI: timm:..., open_clip:..., onnx:FILE, demo:...")
@click.option(
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Module paths to record, such as 'layer?'; give it again for more. [the source's own choice]",
)
@click.option("--weights", metavar="FILE", help="A weight file here, or in a weights folder of the service.")
@click.option("--family", metavar="FAMILY", help="Such as clip. [the source's own]")
@click.option("--alias", "aliases", multiple=True, metavar="NICKNAME", help="Another name a question may use.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is registered. [wait]")
@connected
def add(
    client: Client,
    name: str,
    source: str,
    layers: tuple[str, ...],
    weights: str | None,
    family: str | None,
    aliases: tuple[str, ...],
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Register a model; a weight file that lies here is sent to the service."""
    watch = watch_job()
    job = client.add_model(name, source, layers or None, weights, family, aliases, wait=False, progress=watch is True)
    if not wait:
        if as_json:
            print_json(job.last_seen)
        else:
            click.echo(f"job {job.id} registers {name}: `rosetta jobs watch {job.id}` follows it")
        return
    with keeps_going(job.id):
        job.wait(progress=watch)
    model = client.model(name)
    if as_json:
        print_json(model)
    else:
        recorded = "1 layer" if len(model.layers) == 1 else f"{len(model.layers)} layers"
        click.echo(f"{name} is registered: {model.units:,} units in {recorded}")


@models.command("list", epilog=examples("rosetta models list --family clip"))
@click.option("--family", metavar="FAMILY", help="Only this one, such as clip.")
@connected
def list_(client: Client, family: str | None, *, as_json: bool) -> None:
    """List the models."""
    found = client.models(family)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no models yet: add one with `rosetta models add NAME --source SOURCE`")


@models.command(epilog=examples("rosetta models show dcgan-faces"))
@click.argument("name")
@connected
def show(client: Client, name: str, *, as_json: bool) -> None:
    """Show a model and its layers."""
    from rosetta.results import Layer
    from rosetta.views import VIEWS, cell, moment

    model = client.model(name)
    if as_json:
        print_json(model)
        return
    print_pairs(
        {
            "model": model.name,
            "family": model.family,
            "nicknames": ", ".join(model.aliases) or "none",
            "source": model.source,
            "weights": f"sha256 {model.weights_digest}",
            "generator": "yes" if model.is_generator else "no",
            "units": f"{model.units:,}",
            "registered": moment(model.created_at),
            **{key.replace("_", " "): cell(value) for key, value in model.details.items()},
        }
    )
    click.echo()
    print_table(VIEWS[Layer], model.layers)


@models.command(epilog=examples("rosetta models remove clip-rn50"))
@click.argument("name")
@connected
def remove(client: Client, name: str, *, as_json: bool) -> None:
    """Remove a model and all that was mined of it."""
    client.remove_model(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"{name} is removed")
