"""`rosetta ask`: a question in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rosetta.cli.output import connected, examples, print_json, print_rows

if TYPE_CHECKING:
    from rosetta.client import Client


@click.command(
    epilog=examples(
        'rosetta ask "which neurons in EfficientNet match DCGAN unit 813?"',
        'rosetta ask "what are the best buddies of dcgan-faces and mobilenet-v2?"',
        'rosetta ask "how many neurons do DCGAN and EfficientNet share?"',
    )
)
@click.argument("question", nargs=-1, required=True)
@click.option("--probe", metavar="NAME", help="The probe set. [the newest one of each pair of models]")
@connected
def ask(client: Client, question: tuple[str, ...], probe: str | None, *, as_json: bool) -> None:
    """Answer a question in plain words."""
    answer = client.ask(" ".join(question), probe=probe)
    if as_json:
        print_json(answer.as_result())
        return
    click.echo(answer.text)
    for rows in (answer.matches, answer.pairs):
        if rows:
            click.echo()
            print_rows(rows, none="")
