"""`rosetta ask`: a question in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples, print_json, print_rows, print_text

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.handles import Answer
    from rosetta.rows import Rows


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
    else:
        print_answer(answer)


def print_answer(answer: Answer) -> None:
    """What was found, in words and as a table."""
    print_text(answer.text)
    for rows in (answer.matches, answer.pairs):
        if rows:
            click.echo()
            print_rows(rows, none="", without=_said(rows))


def _said(rows: Rows[Any]) -> set[str]:
    """The columns that are the same in every row: the text has said it."""
    named = (column for column in rows.view() if column.heading in {"unit", "model", "probe set"})
    return {column.heading for column in named if len({column.text(row) for row in rows}) == 1}
