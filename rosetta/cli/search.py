"""`rosetta search`: units like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, print_json, print_rows

if TYPE_CHECKING:
    from rosetta.client import Client


@click.command(epilog=examples("rosetta search --unit dcgan-faces/813 --in mobilenet --top 5"))
@click.option(
    "--unit", required=True, metavar="ADDRESS", help="Its address, such as dcgan-faces/main.8:45 or dcgan-faces/813."
)
@click.option("--in", "into", metavar="MODEL|FAMILY", help="Where to look. [everywhere]")
@click.option("--top", type=click.IntRange(1), default=10, metavar="N", help="How many. [10]")
@click.option("--probe", metavar="NAME", help="The probe set. [the one on which its model was mined last]")
@connected
def search(client: Client, unit: str, into: str | None, top: int, probe: str | None, *, as_json: bool) -> None:
    """Find units like one, also in models that it was never compared with.

    Sketches are compared: the similarity approximates the correlation that `rosetta match` shows exactly.
    """
    found = client.search(unit=unit, model=into, top=top, probe=probe)
    if as_json:
        print_json(list(found))
        return
    if found:
        first = found[0]
        click.echo(
            f"unit {first.unit} of {first.model} ({first.layer}:{first.channel}), on probe set {first.probe_set}"
        )
    print_rows(found, none="no unit like it", without={"unit", "probe set"})
