"""`rosetta probes`: add, list, show, give masks, remove."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, print_json, print_pairs, print_rows, say

if TYPE_CHECKING:
    from rosetta.client import Client


@click.group(epilog=examples("rosetta probes add faces --generator dcgan-faces --count 100 --seed 0"))
def probes() -> None:
    """Add, list, show and remove probe sets: the images that models are compared on."""


@probes.command(
    epilog=examples(
        "rosetta probes add faces --generator dcgan-faces --count 100 --seed 0",
        "rosetta probes add photos --images ~/photos --skip-broken",
    )
)
@click.argument("name")
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder of images; what the service does not have yet is sent.",
)
@click.option("--skip-broken", is_flag=True, help="Leave out files of the folder that are no images, by name.")
@click.option("--size", type=int, metavar="PIXELS", help="Side of the square that images are cut to. [256]")
@click.option("--generator", metavar="MODEL", help="A registered model that makes images.")
@click.option("--count", type=int, metavar="N", help="How many samples it makes.")
@click.option("--seed", type=int, default=0, metavar="S", help="Of the samples. [0]")
@click.option("--class", "class_index", type=int, metavar="I", help="The class, for a generator that has some.")
@click.option("--truncation", type=float, metavar="T", help="Of the latents, above 0 and at most 1.")
@connected
def add(
    client: Client,
    name: str,
    images: Path | None,
    generator: str | None,
    count: int | None,
    seed: int,
    class_index: int | None,
    truncation: float | None,
    size: int | None,
    *,
    skip_broken: bool,
    as_json: bool,
) -> None:
    """Make a probe set of a folder of images, or of a generator's samples.

    The same inputs give the same probe set, and it never changes.
    """
    if (images is None) == (generator is None):
        raise click.UsageError("give either --images DIR or --generator MODEL")
    if generator is not None and count is None:
        raise click.UsageError("--generator needs --count N")
    with warnings.catch_warnings(record=True, action="always") as caught:
        probe = client.add_probe(
            name,
            images=images,
            generator=generator,
            count=count,
            seed=seed,
            class_index=class_index,
            truncation=truncation,
            size=size,
            skip_broken=skip_broken,
            progress=sys.stderr.isatty(),
        )
    for warning in caught:
        say(f"rosetta: {warning.message}")
    if as_json:
        print_json(probe)
    else:
        amount = "1 image" if probe.count == 1 else f"{probe.count:,} images"
        click.echo(f"probe set {name}: {amount} of {probe.height}x{probe.width} pixels")


@probes.command("list", epilog=examples("rosetta probes list"))
@connected
def list_(client: Client, *, as_json: bool) -> None:
    """List the probe sets, and which models were mined on each."""
    found = client.probes()
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none="no probe sets yet: make one with `rosetta probes add NAME --images DIR`")


@probes.command(epilog=examples("rosetta probes show faces"))
@click.argument("name")
@connected
def show(client: Client, name: str, *, as_json: bool) -> None:
    """Show a probe set."""
    from rosetta.views import moment, origin

    probe = client.probe(name)
    if as_json:
        print_json(probe)
        return
    print_pairs(
        {
            "probe set": probe.name,
            "digest": f"sha256 {probe.digest}",
            "images": f"{probe.count:,} of {probe.height}x{probe.width} pixels",
            "from": origin(probe),
            "mined models": ", ".join(probe.mined_models) or f"none yet: `rosetta mine --probe {probe.name}`",
            "made": moment(probe.created_at),
        }
    )


@probes.command(epilog=examples("rosetta probes masks photos --masks masks/", "rosetta probes masks photos"))
@click.argument("name")
@click.option(
    "--masks",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder each thing, in it a PNG an image: named as it, and not zero where the thing is.",
)
@click.option("--remove", metavar="THING", help="Remove the masks of a thing.")
@connected
def masks(client: Client, name: str, folder: Path | None, remove: str | None, *, as_json: bool) -> None:
    """List what a probe set has masks of, give it some, or remove some.

    Masks label units: `rosetta labels find --probe NAME --masks`. Of a generator's samples, a mask is named by the
    position of its image, such as 0.png. An image without a mask shows nothing of the thing.
    """
    if folder is not None and remove is not None:
        raise click.UsageError("give either --masks DIR or --remove THING")
    if remove is not None:
        client.remove_masks(name, remove)
    found = client.masks(name) if folder is None else client.add_masks(name, folder, progress=sys.stderr.isatty())
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none=f"no masks: `rosetta probes masks {name} --masks DIR` gives it some")


@probes.command("remove", epilog=examples("rosetta probes remove photos"))
@click.argument("name")
@connected
def remove_(client: Client, name: str, *, as_json: bool) -> None:
    """Remove a probe set and all that was mined on it."""
    client.remove_probe(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"probe set {name} is removed")
