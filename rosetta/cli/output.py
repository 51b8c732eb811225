"""What commands print: tables for people, JSON for programs, progress on stderr."""

from __future__ import annotations

import functools
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli import Stopped

if TYPE_CHECKING:
    from rosetta.pictures import Picture
    from rosetta.progress import Watch
    from rosetta.results import Job
    from rosetta.rows import Rows, SqlRows
    from rosetta.views import Column

_QUIET_S = 10.0  # between two lines of progress where there is no terminal


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `--json` (as `as_json`), `--url`, and a connected client as its first argument."""

    @click.option("--url", metavar="URL", help="The service [ROSETTA_URL, else the local one].")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
    @functools.wraps(command)
    def with_client(*args: Any, url: str | None, **kwargs: Any) -> Any:
        from rosetta.client import Client

        with Client(url) as client:
            return command(client, *args, **kwargs)

    return with_client


def png_option(shows: str) -> Callable[..., Any]:
    """The option `--png FILE`, whose help begins with what the picture shows."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("--png", type=kind, metavar="FILE", help=f"{shows} The file is replaced.")


def save_picture(picture: Picture, path: Path) -> None:
    """Writes a picture, whole or not at all, and says where it is."""
    say(f"wrote {picture.save(path)}")


def examples(*lines: str) -> str:
    """The end of a command's help: how it is called, line by line as given."""
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n  ".join(["\b", heading, *lines]).replace("\b\n  ", "\b\n")


def print_json(value: Any) -> None:
    """A result as one JSON document."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def say(message: str) -> None:
    """A line for people, on stderr."""
    click.echo(message, err=True)


def print_text(text: str) -> None:
    """Sentences, broken between words where there is a terminal."""
    for line in text.splitlines():
        if sys.stdout.isatty():  # names have hyphens, and stay in one piece
            line = textwrap.fill(line, shutil.get_terminal_size().columns, break_on_hyphens=False)
        click.echo(line)


def print_rows(rows: Rows[Any], *, none: str, without: Collection[str] = ()) -> None:
    """Rows as a table, or a line when there are none."""
    if not rows:
        click.echo(none)
        return
    columns = [column for column in rows.view() if column.heading not in without]
    print_table(columns, rows)


def print_sql(rows: SqlRows) -> None:
    """Rows of a query as a table; record by record where the terminal is too narrow for a table."""
    if not rows:
        click.echo("no rows")
    elif sys.stdout.isatty() and not _fits(rows.view(), rows):
        _print_records(rows)
    else:
        print_table(rows.view(), rows)
    if rows.truncated:
        say(f"only the first {len(rows):,} rows: add a LIMIT and a WHERE, or use `rosetta export`")


def print_pairs(pairs: Mapping[str, str]) -> None:
    """Names and values, one a line."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {value}")


def print_table(columns: Sequence[Column], rows: Sequence[Any], style: Callable[[Any], str] = lambda _: "") -> None:
    """A table as wide as the terminal, each row in its style; plain, unwrapped text where stdout is none."""
    if not sys.stdout.isatty():
        from rosetta.views import text_table

        click.echo(text_table(columns, rows))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = _fitting(columns, rows)
    whole = _fits(shown, rows)  # else everything may be folded: better than left out
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in shown:
        table.add_column(
            Text(column.heading),
            justify="right" if column.right else "left",
            no_wrap=whole and not column.wraps,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in shown), style=style(row))
    Console(highlight=False).print(table)


def _fitting(columns: Sequence[Column], rows: Sequence[Any]) -> list[Column]:
    """The columns that have room; the optional ones go first, the last of them first of all."""
    shown = list(columns)
    for column in reversed(columns):
        if _fits(shown, rows):
            break
        if column.optional:
            shown.remove(column)
    return shown


def _fits(columns: Sequence[Column], rows: Sequence[Any]) -> bool:
    return sum(_width(column, rows) + 2 for column in columns) - 2 <= shutil.get_terminal_size().columns


def _width(column: Column, rows: Sequence[Any]) -> int:
    content = max((len(column.text(row)) for row in rows), default=0)
    return max(len(column.heading), min(content, 24) if column.wraps else content)


def _print_records(rows: SqlRows) -> None:
    columns = rows.view()
    width = max(len(column.heading) for column in columns)
    for index, row in enumerate(rows, start=1):
        click.echo(click.style(f"row {index}", bold=True))
        for column in columns:
            click.echo(f"  {column.heading.ljust(width)}  {column.text(row)}")


def watch_job() -> Watch | bool:
    """How to show a job's progress on stderr: a bar in a terminal, a line now and then elsewhere."""
    return True if sys.stderr.isatty() else _Lines()


class _Lines:
    """Progress as lines: each new state, and where it is every ten seconds."""

    def __init__(self) -> None:
        self._state = ""
        self._said_at = 0.0

    def __call__(self, job: Job) -> None:
        from rosetta.views import job_note, progress

        if job.state in {"failed", "cancelled"}:  # the error that follows says so, and why
            return
        now = time.monotonic()
        if job.state == self._state and now - self._said_at < _QUIET_S:
            return
        self._state, self._said_at = job.state, now
        parts = [job.state, progress(job), job_note(job)]
        say(f"{job.kind} (job {job.id}): " + ", ".join(part for part in parts if part not in {"", "-"}))


@contextmanager
def keeps_going(job_id: int) -> Iterator[None]:
    """Says how to re-attach to the job when Ctrl-C ends the waiting.

    Raises:
        Stopped: then.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(
            f"job {job_id} goes on: `rosetta jobs watch {job_id}` re-attaches, `rosetta jobs cancel {job_id}` stops it"
        ) from None
