"""The tree of a network's modules, as people see it."""

from __future__ import annotations

import click
import pytest

from rosetta.cli.tree import print_choice, print_tree, tree_lines
from rosetta.results import Module


def module(path, shape=(4, 8, 8), *, kind="Conv2d", calls=1, chosen=False, why_not=""):
    channels, height, width = shape or (None, None, None)
    return Module(path, kind, channels, height, width, calls, chosen, why_not)


def transformer(blocks=12, odd=None):
    """A stem, so many blocks of the same kind, and a head; the activations are chosen. One block may be odd."""
    modules = [module("stem"), module("blocks", kind="Sequential")]
    for index in range(blocks):
        shape = (5, 8, 8) if index == odd else (16, 8, 8)
        modules += [
            module(f"blocks.{index}", kind="Block"),
            module(f"blocks.{index}.mlp", kind="Mlp"),
            module(f"blocks.{index}.mlp.act", shape, kind="GELU", chosen=True),
            module(f"blocks.{index}.drop", None, kind="Dropout", calls=0, why_not="does not run"),
        ]
    return [*modules, module("head", (10, 1, 1), kind="Linear")]


def names(lines):
    return [(line.name, line.times) for line in lines]


def test_blocks_that_are_alike_share_their_lines():
    assert names(tree_lines(transformer(), 4)) == [
        ("stem", 1),
        ("blocks", 1),
        ("  0 ... 11", 12),
        ("    mlp", 12),
        ("      act", 12),
        ("    drop", 12),
        ("head", 1),
    ]


def test_a_difference_deep_inside_parts_them():
    lines = tree_lines(transformer(5, odd=2), 2)
    assert names(lines) == [("stem", 1), ("blocks", 1), ("  0, 1", 2), ("  2", 1), ("  3, 4", 2), ("head", 1)]
    assert [line.module.path for line in lines[2:5]] == ["blocks.0", "blocks.2", "blocks.3"]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (module("layer1"), module("layer2"), True),
        (module("9"), module("10"), True),
        (module("0"), module("2"), False),
        (module("layer1"), module("norm2"), False),
        (module("drop"), module("drop_path"), False),
        (module("01"), module("2"), False),
        (module("0"), module("1", (5, 8, 8)), False),
        (module("0"), module("1", (4, 8, 4)), False),
        (module("0"), module("1", kind="Linear"), False),
        (module("0"), module("1", calls=2), False),
        (module("0"), module("1", chosen=True), False),
        (module("0", None, why_not="2 outputs"), module("1", None, why_not="3 outputs"), False),
        (module("0", None, why_not="2 outputs"), module("1", None, why_not="2 outputs"), True),
    ],
)
def test_what_is_alike(one, other, alike):
    assert len(tree_lines([one, other], 1)) == (1 if alike else 2)


def test_blocks_within_blocks_are_counted_together():
    modules = [module("stages", kind="Sequential")]
    for stage in range(2):
        modules.append(module(f"stages.{stage}", kind="Stage"))
        modules += [module(f"stages.{stage}.{block}", kind="Block") for block in range(3)]
    assert names(tree_lines(modules, 3)) == [("stages", 1), ("  0, 1", 2), ("    0 ... 2", 6)]
    assert sum(line.times for line in tree_lines(modules, 3)) == len(modules)
    assert [line.times for line in tree_lines(modules, 3, together=False)] == [1] * len(modules)


def shown(capsys, modules, **options):
    print_tree(modules, **{"depth": None, "everything": False, **options})
    return capsys.readouterr().out


def test_the_table(capsys):
    modules = [
        *transformer(),
        module("pool", kind="MaxPool2d", calls=3),
        module("pair", None, kind="Two", why_not="2 outputs"),
        module("q", None, kind="Identity", why_not="a tensor of shape [1, 12, 197, 64]"),
    ]
    assert shown(capsys, modules).splitlines() == [
        "module      class       maps                units  layer",
        "stem        Conv2d      4 x 8 x 8               4",
        "blocks      Sequential  4 x 8 x 8               4",
        "  0 ... 11  Block       4 x 8 x 8          12 x 4",
        "    mlp     Mlp         4 x 8 x 8          12 x 4",
        "      act   GELU        16 x 8 x 8        12 x 16  yes",
        "    drop    Dropout     does not run",
        "head        Linear      10 x 1 x 1             10",
        "pool        MaxPool2d   4 x 8 x 8               4  first of 3 calls",
        "pair        Two         2 outputs",
        "q           Identity    [1, 12, 197, 64]",
    ]


def test_one_level_more_than_the_layers_need(capsys):
    deep = [module(".".join("abcdef"[:level])) for level in range(1, 7)]
    for chosen, levels in ((None, 3), (0, 2), (1, 3), (4, 6), (5, 6)):
        modules = [module(each.path, chosen=index == chosen) for index, each in enumerate(deep)]
        out = shown(capsys, modules)
        assert sum("Conv2d" in line for line in out.splitlines()) == levels
        assert ("lie" in out) == (levels < 6)
    assert "4 modules lie deeper: --depth 3 shows the next level, --depth 6 shows all levels" in shown(
        capsys, deep, depth=2
    )
    assert "1 module lies deeper: --depth 6 shows all levels" in shown(capsys, deep, depth=5)


def test_everything_is_a_line_each(capsys):
    modules = transformer()
    assert len(shown(capsys, modules, everything=True).splitlines()) == 1 + len(modules)
    out = shown(capsys, modules, everything=True, depth=2)
    assert out.count("Block") == 12
    assert "36 modules lie deeper" in out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_terminal(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    modules = [*transformer(), module("a_name_of_some_length", kind="AClassOfSomeLength")]
    lines = click.unstyle(shown(capsys, modules)).splitlines()
    assert max(map(len, lines)) <= width
    assert any("      act" in line and "12 x 16" in line for line in lines)
    assert ("class" in lines[0]) == (width > 60)


def said(capsys, modules, globs=(), source="timm:net", weights=None):
    print_choice(modules, source, weights, globs)
    return capsys.readouterr().out.strip()


def test_how_it_is_registered(capsys):
    assert said(capsys, transformer()) == (
        "12 layers by default, 192 units; to register them:\n  rosetta models add NAME --source timm:net"
    )
    modules = [module("a", (1, 1, 1), chosen=True), module("b", None, calls=0, chosen=True, why_not="does not run")]
    assert said(capsys, modules, ["*", "a"], "onnx:my net.onnx?size=8", "w.pt") == (
        "1 layer chosen, 1 unit; to register them:\n"
        "  rosetta models add NAME --source 'onnx:my net.onnx?size=8' --weights w.pt --layers '*' --layers a"
    )


def test_what_would_be_refused(capsys):
    never = module("b", None, calls=0, chosen=True, why_not="does not run")
    pairs = [module(f"p{index}", None, chosen=True, why_not="2 outputs") for index in range(5)]
    assert said(capsys, [module("a", chosen=True), *pairs], ["*"]) == (
        "5 of these 6 layers cannot be recorded (p0: 2 outputs; p1: 2 outputs; p2: 2 outputs; and 2 more), "
        "so `rosetta models add` refuses them: choose others with --layers"
    )
    for globs in (["a", "b"], []):  # named in full, or by the source itself
        assert said(capsys, [module("a", chosen=True), never], globs).startswith("1 of these 2 layers cannot")
    assert said(capsys, [never], ["b*"]) == "none of these layers runs: choose some with --layers"
    assert said(capsys, [module("a")]) == "the source has no layers of its own: choose some with --layers"
