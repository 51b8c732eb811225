"""`rosetta search`: units like one, and what a text finds."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, print_json, print_rows

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.rows import Rows


@click.command(
    epilog=examples("rosetta search --unit dcgan-faces/813 --in mobilenet --top 5", "rosetta search --text glasses")
)
@click.option(
    "--unit", metavar="ADDRESS", help="Units like this one, such as dcgan-faces/main.8:45 or dcgan-faces/813."
)
@click.option("--text", metavar="WORDS", help="Units and concepts that these words find.")
@click.option("--in", "into", metavar="MODEL|FAMILY", help="Where to look. [everywhere]")
@click.option("--top", type=click.IntRange(1), default=10, metavar="N", help="How many. [10]")
@click.option("--probe", metavar="NAME", help="The probe set. [of a unit, the one on which its model was mined last]")
@connected
def search(
    client: Client, unit: str | None, text: str | None, into: str | None, top: int, probe: str | None, *, as_json: bool
) -> None:
    """Find units like one, also in models that it was never compared with; or what a text finds.

    Of a unit, sketches are compared: the similarity approximates the correlation that `rosetta match` shows exactly.
    Of a text, the words are looked for in labels.
    """
    if unit is not None and text is None:
        found = client.search(unit=unit, model=into, top=top, probe=probe)
        if found and not as_json:
            first = found[0]
            click.echo(
                f"unit {first.unit} of {first.model} ({first.layer}:{first.channel}), on probe set {first.probe_set}"
            )
        _print(found, as_json, none="no unit like it", without={"unit", "probe set"})
    elif text is not None and unit is None:
        found_by_text = client.search(text=text, model=into, top=top, probe=probe)
        none = f"no label says '{text}': `rosetta labels add UNIT TEXT` gives one"
        _print(found_by_text, as_json, none=none, without=())
    else:
        raise click.UsageError("Name what to search for: --unit or --text, one of the two.")


def _print(found: Rows[Any], as_json: bool, *, none: str, without: Collection[str]) -> None:
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none=none, without=without)
