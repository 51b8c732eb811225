"""`rosetta translate`: the units of one model, told from those of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, print_json

if TYPE_CHECKING:
    from rosetta.client import Client


@click.command(
    epilog=examples(
        "rosetta translate seen.npy --from efficientnet-lite0 --to dcgan-faces --out told.npy",
        "rosetta translate maps.npz --from efficientnet-lite0 --to dcgan-faces --out told.npz",
    )
)
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "from_", required=True, metavar="MODEL", help="The model whose activations FILE has.")
@click.option("--to", required=True, metavar="MODEL", help="The model whose units are told.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to write."
)
@click.option("--probe", metavar="NAME", help="On which the two were compared. [the newest]")
@click.option("--top", type=click.IntRange(1), metavar="K", help="Matches a unit is told from. [as many as kept]")
@click.option("--method", type=click.Choice(["ridge", "best"]), default="ridge", help="All of them, or one. [ridge]")
@connected
def translate(
    client: Client,
    path: Path,
    from_: str,
    to: str,
    out: Path,
    probe: str | None,
    top: int | None,
    method: Any,
    *,
    as_json: bool,
) -> None:
    """Tell a model's units from another's: .npy of means [N, U], or .npz of means or maps by layer."""
    from rosetta.translating import read_activations, write_activations

    if out.suffix.lower() != path.suffix.lower():
        raise click.BadParameter(f"'{out}' has another ending than {path.name}", param_hint="--out")
    told = client.translate(read_activations(path), from_, to, probe=probe, top=top, method=method)
    write_activations(out, told.values)
    if as_json:
        print_json(told.about)
        return
    shares = told.shares
    click.echo(f"{out}: {told!r}".replace("<", "").replace(">", ""))
    if shares.chance is not None:
        kind = "images that no match was found on" if told.about.unseen else "held-out images"
        click.echo(f"tested on {told.about.held_out:,} {kind}; by chance {100 * shares.chance:.0f}%")
