"""The command line. `rosetta --help` imports click alone: every command is imported when it is called."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from rosetta.errors import RosettaError


@dataclass(frozen=True)
class Entry:
    """Where a command lives, and what its line in `rosetta --help` says."""

    where: str
    summary: str


SECTIONS: Mapping[str, Mapping[str, Entry]] = {
    "On this machine": {
        "up": Entry("rosetta.cli.stack:up", "Start the whole service here: store, queue, worker, API."),
        "down": Entry("rosetta.cli.stack:down", "Stop what `rosetta up` started."),
        "demo": Entry("rosetta.cli.demo:demo", "Mine four real networks and ask them one question."),
        "doctor": Entry("rosetta.cli.doctor:doctor", "Say what works, and the mend for what does not."),
    },
    "Mine": {
        "models": Entry("rosetta.cli.models:models", "Add, list, show and remove models; show layers before."),
        "probes": Entry("rosetta.cli.probes:probes", "Add, list, show and remove probe sets."),
        "mine": Entry("rosetta.cli.mine:mine", "Compare models on a probe set."),
        "jobs": Entry("rosetta.cli.jobs:jobs", "List, watch, cancel and retry jobs."),
    },
    "Ask": {
        "match": Entry("rosetta.cli.match:match", "Show which units match a unit."),
        "ask": Entry("rosetta.cli.ask:ask", "Ask a question in plain words."),
        "concepts": Entry("rosetta.cli.concepts:concepts", "List and show what several models share; find it anew."),
        "dictionary": Entry("rosetta.cli.dictionary:dictionary", "Show best buddies of one model in several."),
        "directions": Entry("rosetta.cli.directions:directions", "Find along what a generator changes most; walk."),
        "effects": Entry("rosetta.cli.effects:effects", "Show what a generator's units cause; measure it."),
        "labels": Entry("rosetta.cli.labels:labels", "Say, list and remove what units and concepts answer to."),
        "map": Entry("rosetta.cli.map:map_", "List, make and save maps: all units in two dimensions."),
        "search": Entry("rosetta.cli.search:search", "Find units like one, by words, or by an image."),
        "invert": Entry("rosetta.cli.steering:invert", "Have a generator make images that other models recognise."),
        "edit": Entry("rosetta.cli.steering:edit", "Move, enlarge, copy, silence: change what was made."),
        "translations": Entry("rosetta.cli.translations:translations", "List, show and make again what was made."),
        "translate": Entry("rosetta.cli.translate:translate", "Tell a model's units from another's."),
        "sql": Entry("rosetta.cli.sql:sql", "Run one SQL query, read-only."),
        "export": Entry("rosetta.cli.sql:export", "Write a table to a Parquet, CSV or JSON Lines file."),
    },
    "Single processes of a deployment": {
        "api": Entry("rosetta.cli.stack:api", "Serve the API."),
        "worker": Entry("rosetta.cli.stack:worker", "Work on jobs."),
        "migrate": Entry("rosetta.cli.stack:migrate", "Bring the database to this version's schema."),
    },
}
_ENTRIES = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, section by section."""
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in _ENTRIES:
            return None
        module, _, attribute = _ENTRIES[cmd_name].where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; a misspelt one is answered with the nearest."""
        if args and not args[0].startswith("-") and args[0] not in _ENTRIES:
            near = difflib.get_close_matches(args[0], _ENTRIES, n=1)
            ctx.fail(f"No such command '{args[0]}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of commands, without importing any."""
        width = max(len(name) for name in _ENTRIES)  # `map` is a command here
        for section, entries in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in entries.items()])


_MORE = """\b
Begin with:
  rosetta up --detach
  rosetta ask "which neurons in EfficientNet match DCGAN unit 813?"

`rosetta COMMAND --help` has an example of each command.

\b
ROSETTA_URL       the service, when it is not the local one
ROSETTA_API_KEY   its key, when it wants one
ROSETTA_DEBUG=1   shows where an error comes from

\b
Completion (bash; zsh and fish alike):
  eval "$(_ROSETTA_COMPLETE=bash_source rosetta)"
"""


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_MORE)
@click.version_option(package_name="rosetta-neurons", message="rosetta %(version)s")
def cli() -> None:
    """Ask what neural networks have in common."""


class Stopped(click.ClickException):
    """Interrupted by Ctrl-C; the message says what goes on without it."""

    exit_code = 130


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad usage, 3 service unreachable, 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of a command; what goes wrong is one line on stderr."""
    try:
        code: Any = cli.main(args=arguments, prog_name="rosetta", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("ROSETTA_DEBUG"):
            raise
        return _report(error)
    except KeyboardInterrupt:
        return _report(click.Abort())
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    """The exit code that an error stands for, after one line about it."""
    if isinstance(error, click.UsageError):
        if error.message.startswith("Usage:"):  # a group without a command: its help says more than a line
            click.echo(error.message, err=True)
        else:
            _say(_usage(error))
        return error.exit_code
    if isinstance(error, click.ClickException):
        _say(error.format_message())
        return error.exit_code
    if isinstance(error, click.Abort):
        _say("interrupted")
        return Stopped.exit_code
    if isinstance(error, RosettaError):
        _say(error.message)
        return error.exit_code
    if isinstance(error, ImportError | OSError):
        _say(str(error))
        return 1
    _say(f"an error of rosetta itself: {type(error).__name__}: {error} (ROSETTA_DEBUG=1 shows where)")
    return 1


def _usage(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    mend = f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""
    return f"{message[:1].lower()}{message[1:]}{mend}"


def _say(message: str) -> None:
    line = " ".join(message.split())
    click.echo(f"{click.style('rosetta:', fg='red', bold=True)} {line}", err=True)
