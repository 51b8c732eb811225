"""The documents name only commands, options, targets, settings and files that exist."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from rosetta import Client
from rosetta.cli import cli
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md", *sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")
))  # fmt: skip
# Read by the client or by the compose file, not by the service.
OTHER_VARIABLES = {"ROSETTA_URL", "ROSETTA_API_KEY", "ROSETTA_DEBUG", "ROSETTA_POSTGRES_PASSWORD"}
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def text(document: str) -> str:
    return (ROOT / document).read_text()


def blocks(document: str, language: str = "") -> list[str]:
    """The contents of the fenced blocks of that language."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text(document), re.MULTILINE | re.DOTALL)
    return [content for name, content in fences if name == language]


def calls(document: str) -> list[str]:
    """The calls of `rosetta` in the document: at the start of a line of a block, or within backticks."""
    in_blocks = [
        match[1]
        for block in blocks(document)
        for match in re.finditer(r'^(?:\$ |[A-Z_]+=\S+ )*(rosetta (?:"[^"]*"|[^"\n#])*)', block, re.MULTILINE)
    ]
    plain = re.sub(r"^```.*?^```", "", text(document), flags=re.MULTILINE | re.DOTALL)
    return in_blocks + re.findall(r"`(rosetta [^`]+)`", plain)


def check(call: str) -> None:
    """Walks the click tree along a call; an option must be one of the command it stands after."""
    command: click.Command = cli
    context = click.Context(cli, info_name="rosetta")
    for word in shlex.split(call.split(" | ", maxsplit=1)[0])[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word.isupper():  # a placeholder, such as COMMAND
                return
            found = command.get_command(context, word)
            assert found is not None, f"`{call}`: no command {word}"
            command = found
        elif word.startswith("--") and word != "--help":
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            assert word in known, f"`{call}`: no option {word}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_their_options_exist(document):
    for call in calls(document):
        check(call)


def test_methodsare_found_and_a_wrong_one_is_told():
    assert len(calls("README.md")) > 15
    with pytest.raises(AssertionError, match="no command ask-me"):
        check("rosetta ask-me 'a question'")
    with pytest.raises(AssertionError, match="no option --into"):
        check("rosetta match dcgan-faces 813 --into efficientnet")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document):
    named = re.findall(r"^make ([a-z-]+)", "\n".join(blocks(document)), re.MULTILINE)
    named += re.findall(r"`make ([a-z-]+)", text(document))
    assert set(named) <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_exist(document):
    settings = {f"ROSETTA_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bROSETTA_[A-Z_]+\b", text(document))) <= settings | OTHER_VARIABLES


def test_the_readme_has_every_setting():
    assert {f"ROSETTA_{name.upper()}" for name in Settings.model_fields} <= set(
        re.findall(r"`(ROSETTA_[A-Z_]+)`", text("README.md"))
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_compiles(document):
    for block in blocks(document, "python"):
        compile(block, document, "exec")


def test_the_client_of_the_readme_takes_ten_lines():
    (example,) = blocks("README.md", "python")
    assert len(example.strip().splitlines()) <= 10
    methods = {node.func.attr for node in ast.walk(ast.parse(example)) if _is_client_call(node)}
    assert methods
    assert all(callable(getattr(Client, name, None)) for name in methods)


def _is_client_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "client"
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_within_the_project_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", text(document)):
        if "://" not in target:
            assert ((ROOT / document).parent / target).exists(), target
