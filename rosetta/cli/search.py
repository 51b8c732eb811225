"""`rosetta search`: units like one, what a text finds, and units that answer to an image."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, print_json, print_rows, say

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.client_search import Box
    from rosetta.rows import Rows


def _box(_context: click.Context, _option: click.Parameter, text: str | None) -> Box | None:
    """The four numbers."""
    if text is None:
        return None
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        raise click.BadParameter(f"'{text}' is not four numbers with commas between, such as 10,10,50,50") from None
    return x, y, width, height


@click.command(
    epilog=examples(
        "rosetta search --unit dcgan-faces/813 --in mobilenet --top 5",
        "rosetta search --text glasses",
        "rosetta search --image me.jpg --box 10,10,50,50",
    )
)
@click.option(
    "--unit", metavar="ADDRESS", help="Units like this one, such as dcgan-faces/main.8:45 or dcgan-faces/813."
)
@click.option("--text", metavar="WORDS", help="Units and concepts that these words find.")
@click.option("--image", metavar="FILE", help="Units that answer to this image.")
@click.option("--box", metavar="X,Y,W,H", callback=_box, help="To this part of it, pixels. [all of it]")
@click.option("--image-text", metavar="MODEL", help="The image-text model that is shown the text. [the first one]")
@click.option("--in", "into", metavar="MODEL|FAMILY", help="Where to look. [everywhere]")
@click.option("--top", type=click.IntRange(1), default=10, metavar="N", help="How many. [10]")
@click.option("--probe", metavar="NAME", help="The probe set. [of a unit, the one on which its model was mined last]")
@connected
def search(
    client: Client,
    unit: str | None,
    text: str | None,
    image: str | None,
    box: Box | None,
    image_text: str | None,
    into: str | None,
    top: int,
    probe: str | None,
    *,
    as_json: bool,
) -> None:
    """Find units like one, also in models that it was never compared with; or what a text or an image finds.

    Of a unit, sketches are compared: the similarity approximates the correlation that `rosetta match` shows exactly.
    Of a text, the words are looked for in labels; an image-text model, where one is registered, finds units that
    respond as the images fit the text. An image goes through the models: units rank by how much more they fire inside
    the box than outside, in deviations from their means over the probe set.
    """
    if sum(asked is not None for asked in (unit, text, image)) != 1:
        raise click.UsageError("Name what to search for: --unit, --text or --image, one of the three.")
    if box is not None and image is None:
        raise click.UsageError("--box is one in an image: name the image with --image.")
    if unit is not None:
        found = client.search(unit=unit, model=into, top=top, probe=probe)
        if found and not as_json:
            first = found[0]
            click.echo(
                f"unit {first.unit} of {first.model} ({first.layer}:{first.channel}), on probe set {first.probe_set}"
            )
        _print(found, as_json, none="no unit like it", without={"unit", "probe set"})
    elif text is not None:
        found_by_text = client.search(text=text, image_text=image_text, model=into, top=top, probe=probe)
        none = f"no label says '{text}': `rosetta labels add UNIT TEXT` gives one"
        _print(found_by_text, as_json, none=none, without=())
        if found_by_text.note:
            say(found_by_text.note)
    elif image is not None:
        found_by_image = client.search(image=image, box=box, model=into, top=top, probe=probe)
        _print(found_by_image, as_json, none="no unit answers to it", without=() if box else {"inside", "outside"})
        if found_by_image.note:
            say(found_by_image.note)


def _print(found: Rows[Any], as_json: bool, *, none: str, without: Collection[str]) -> None:
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none=none, without=without)
