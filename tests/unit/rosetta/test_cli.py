from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from rosetta import cli
from rosetta.cli import SECTIONS, LazyGroup
from rosetta.cli.output import print_table
from rosetta.results import Match
from rosetta.rows import Rows
from rosetta.views import cell, duration, number, probability
from tests.unit.rosetta.test_rows import matches

ENTRIES = {name: entry for section in SECTIONS.values() for name, entry in section.items()}
HEAVY = ["httpx", "rich", "pandas", "pyarrow", "msgspec", "tqdm", "fastapi", "sqlalchemy", "torch", "celery"]


def commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [(path, command)] + [
        each for name, child in command.commands.items() for each in commands(child, f"{path} {name}")
    ]


def test_help_is_quick_and_imports_no_command():
    code = (
        "import sys; from rosetta.cli import run; assert run(['--help']) == 0; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    took = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took.append(time.perf_counter() - began)
    assert done.stdout.splitlines()[-1] == "[]"
    assert min(took) < 0.5
    for name in ENTRIES:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", ENTRIES)
def test_every_command_is_there_and_has_an_example(name):
    command = LazyGroup().get_command(click.Context(cli.cli), name)
    assert command is not None
    for path, each in commands(command, name):
        context = click.Context(each, info_name=f"rosetta {path}")
        text = each.get_help(context)
        assert "Example" in text, path
        assert f"rosetta {path.split(' ')[0]}" in text.partition("Example")[2], path


def test_json_goes_with_every_command_that_asks_the_service():
    for name in [*SECTIONS["Mine"], *SECTIONS["Ask"]]:
        command = LazyGroup().get_command(click.Context(cli.cli), name)
        assert command is not None
        for path, each in commands(command, name):
            options = {option for parameter in each.params for option in parameter.opts}
            assert isinstance(each, click.Group) or {"--json", "--url"} <= options, path


def test_a_fault_of_ours_is_one_line_too(monkeypatch, capsys):
    monkeypatch.setattr("rosetta.client.Client.models", lambda *_: 1 / 0)
    assert cli.run(["models", "list", "--url", "http://x"]) == 1
    assert capsys.readouterr().err == (
        "rosetta: an error of rosetta itself: ZeroDivisionError: division by zero (ROSETTA_DEBUG=1 shows where)\n"
    )
    monkeypatch.setenv("ROSETTA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.run(["models", "list", "--url", "http://x"])


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--help"], 0), (["models"], 2), (["-x"], 2)])
def test_exit_codes(arguments, code, capsys):
    assert cli.run(arguments) == code
    shown = capsys.readouterr()
    assert (shown.err == "") == (code == 0)
    assert (shown.out == "") == (code != 0)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_tables_fit_the_terminal_and_lose_no_name(width, monkeypatch, capsys):
    rows: Rows[Match] = matches()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    columns = [column for column in rows.view() if column.heading not in {"unit", "probe set"}]
    print_table(columns, rows)
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert all(len(line) <= width for line in lines)
    assert ("rank back" in lines[0]) == (width >= 80)
    if width >= 60:
        assert sum("efficientnet-lite0" in line for line in lines) == 3
        assert "67 (blocks.2:11)" in lines[1]


def test_what_numbers_look_like():
    assert [number(value) for value in (None, 1234567, 0.0, 0.5, 12345.678, 1e-9, 1e9)] == [
        "-", "1,234,567", "0.000", "0.500", "12345.678", "1e-09", "1e+09",
    ]  # fmt: skip
    assert [probability(value) for value in (None, 0.0, 0.0009, 0.001, 1.0)] == [
        "-",
        "<0.001",
        "<0.001",
        "0.001",
        "1.000",
    ]
    assert [duration(value) for value in (None, 0, 0.25, 9.6, 59.7, 61, 3660, 90000)] == [
        "-", "0 s", "0.2 s", "10 s", "1 min 00 s", "1 min 01 s", "1 h 01 min", "25 h 00 min",
    ]  # fmt: skip
    assert [cell(value) for value in (None, True, 0.1234567, [1, "a"], {"a": 1, "b": None})] == [
        "-", "yes", "0.123457", "1, a", "a 1",
    ]  # fmt: skip


def documented() -> list[str]:
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    return [line.partition("#")[0].strip() for line in text.splitlines() if line.startswith("rosetta ")]


@pytest.mark.parametrize("line", documented())
def test_the_documented_commands_parse(line):
    words = shlex.split(line)[1:]
    command: click.Command = cli.cli
    context = click.Context(command, info_name="rosetta")
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    command.make_context(line, words)
