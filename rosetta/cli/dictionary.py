"""`rosetta dictionary`: tuples of units, one a model, that are best buddies of a generator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, print_json, print_table, print_text, say

if TYPE_CHECKING:
    from rosetta.client import Client


def _q_value(text: str) -> float | None:
    return None if text == "all" else float(text)


@click.command(
    epilog=examples(
        "rosetta dictionary dcgan-faces --models efficientnet-lite0,mobilenet-v2",
        "rosetta dictionary dcgan-faces --models efficientnet-lite0,mobilenet-v2 --k 3 --strict",
    )
)
@click.argument("generator")
@click.option("--models", required=True, metavar="A,B,...", help="The models.")
@click.option("--k", type=click.IntRange(1), default=1, metavar="K", help="Each is among the other's K best. [1]")
@click.option("--strict", is_flag=True, help="The models' units must be best buddies of each other, too.")
@click.option("--probe", metavar="NAME", help="The probe set. [the newest on which all were mined]")
@click.option("--q-value", type=_q_value, default="0.05", metavar="Q|all", help="Every pair is below it. [0.05]")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many, the strongest. [50]")
@connected
def dictionary(
    client: Client,
    generator: str,
    models: str,
    k: int,
    probe: str | None,
    q_value: float | None,
    limit: int,
    *,
    strict: bool,
    as_json: bool,
) -> None:
    """Show units of several models that are best buddies of a generator's unit: a line a tuple, a column a model.

    When there is none, it says which of the models have some, as many models as possible.
    """
    found = client.dictionary(generator, models, probe=probe, k=k, strict=strict, q_value=q_value, limit=limit)
    if as_json:
        print_json(found.as_result())
        return
    print_text(str(found))
    if found:
        click.echo()
        print_table(found.view(), found)
    if len(found) < found.total:
        say(f"the strongest {len(found):,} of {found.total:,}: --limit N shows more")
