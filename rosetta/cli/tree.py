"""The tree of a network's modules, for people: one line for siblings that are alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import click

from rosetta.cli.output import print_table, print_text
from rosetta.results import Module
from rosetta.views import Column, maps_cell

_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>0|[1-9]\d*)")
_DEPTH_WITHOUT_LAYERS = 3
_NAMED = 3  # layers named in a sentence


@dataclass(frozen=True)
class Line:
    """A line of the tree: some modules that are alike.

    Attributes:
        name: what their paths end in, indented.
        module: the first of them.
        times: how many they are.
    """

    name: str
    module: Module
    times: int


@dataclass
class _Node:
    name: str
    module: Module
    children: list[_Node] = field(default_factory=list)

    def looks(self) -> tuple[object, ...]:
        """What must be the same of two modules for one line to stand for both."""
        module = self.module
        inside = tuple((child.name, child.looks()) for child in self.children)
        return module.class_name, maps_cell(module), module.calls, module.chosen, inside


def print_tree(modules: Sequence[Module], *, depth: int | None, everything: bool) -> None:
    """The tree as a table, and a line about what lies deeper.

    Args:
        modules: in the tree's order.
        depth: how many levels are shown; None: one more than the chosen layers need.
        everything: a line for each module, at any depth unless one is given.
    """
    deepest = max((_level(module) for module in modules), default=0)
    if depth is None:
        chosen = [_level(module) for module in modules if module.chosen]
        depth = deepest if everything else max(chosen) + 1 if chosen else _DEPTH_WITHOUT_LAYERS
    lines = tree_lines(modules, depth, together=not everything)
    print_table(_COLUMNS, lines, style=_style)
    deeper = len(modules) - sum(line.times for line in lines)
    if deeper:
        lie = "1 module lies" if deeper == 1 else f"{deeper:,} modules lie"
        next_level = f"--depth {depth + 1} shows the next level, " if depth + 1 < deepest else ""
        print_text(f"\n{lie} deeper: {next_level}--depth {deepest} shows all levels")


def tree_lines(modules: Sequence[Module], depth: int, *, together: bool = True) -> list[Line]:
    """The tree's lines, down to a depth.

    Args:
        modules: in the tree's order, each after the module that it is in.
        depth: how many levels.
        together: numbered siblings in a row are one line where they and all that is inside them are alike.
    """
    roots: list[_Node] = []
    nodes: dict[str, _Node] = {}
    for module in modules:
        parent, _, name = module.path.rpartition(".")
        nodes[module.path] = node = _Node(name, module)
        (nodes[parent].children if parent else roots).append(node)
    return list(_lines(roots, 0, 1, depth, together=together))


def _lines(nodes: Sequence[_Node], level: int, times: int, depth: int, *, together: bool) -> Iterator[Line]:
    if level == depth:
        return
    for run in _runs(nodes) if together else ([node] for node in nodes):
        names = [node.name for node in run]
        name = ", ".join(names) if len(run) < 3 else f"{names[0]} ... {names[-1]}"
        yield Line("  " * level + name, run[0].module, times * len(run))
        yield from _lines(run[0].children, level + 1, times * len(run), depth, together=together)


def _runs(nodes: Sequence[_Node]) -> Iterator[list[_Node]]:
    run: list[_Node] = []
    for node in nodes:
        if run and not (_follows(run[-1].name, node.name) and run[-1].looks() == node.looks()):
            yield run
            run = []
        run.append(node)
    if run:
        yield run


def _follows(name: str, next_name: str) -> bool:
    """Whether the second name is the first with the next number, as `layer4` is to `layer3`."""
    first, second = _NUMBERED.fullmatch(name), _NUMBERED.fullmatch(next_name)
    if not (first and second):
        return False
    return first["stem"] == second["stem"] and int(first["number"]) + 1 == int(second["number"])


def _level(module: Module) -> int:
    return module.path.count(".") + 1


def _units(line: Line) -> str:
    if line.module.channels is None:
        return ""
    return f"{line.times} x {line.module.channels:,}" if line.times > 1 else f"{line.module.channels:,}"


def _note(line: Line) -> str:
    notes = ["yes"] if line.module.chosen else []
    if line.module.calls > 1:
        notes.append(f"first of {line.module.calls} calls")
    return ", ".join(notes)


def _style(line: Line) -> str:
    return "bold green" if line.module.chosen else "" if line.module.channels is not None else "dim"


_COLUMNS = (
    Column("module", lambda line: line.name),
    Column("class", lambda line: line.module.class_name, optional=True),
    Column("maps", lambda line: maps_cell(line.module)),
    Column("units", _units, right=True),
    Column("layer", _note),
)


def print_choice(modules: Sequence[Module], source: str, weights: str | None, globs: Sequence[str]) -> None:
    """How many units the chosen layers have, and how a model with them is registered."""
    chosen = [module for module in modules if module.chosen]
    recorded = [module.channels for module in chosen if module.channels is not None]
    refused = [module for module in chosen if _is_refused(module, globs)]
    click.echo()
    if refused:
        shown = "; ".join(f"{module.path}: {maps_cell(module)}" for module in refused[:_NAMED])
        more = f"; and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
        print_text(
            f"{len(refused):,} of these {len(chosen):,} layers cannot be recorded ({shown}{more}), "
            "so `rosetta models add` refuses them: choose others with --layers"
        )
    elif not recorded:
        why = "none of these layers runs" if chosen else "the source has no layers of its own"
        print_text(f"{why}: choose some with --layers")
    else:
        layers = "1 layer" if len(recorded) == 1 else f"{len(recorded):,} layers"
        units = "1 unit" if sum(recorded) == 1 else f"{sum(recorded):,} units"
        print_text(f"{layers} {'chosen' if globs else 'by default'}, {units}; to register them:")
        options = [("--source", source), *([("--weights", weights)] if weights else [])]
        options += [("--layers", glob) for glob in globs]
        click.echo("  rosetta models add NAME " + " ".join(f"{name} {shlex.quote(value)}" for name, value in options))


def _is_refused(module: Module, globs: Sequence[str]) -> bool:
    """Registering takes no layer that cannot be read; one that does not run it passes over, unless named in full."""
    return module.channels is None and (module.calls > 0 or module.path in globs or not globs)
