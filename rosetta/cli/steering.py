"""`rosetta invert` and `rosetta edit`: steer a generator through the units it shares with other models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rosetta.cli.output import connected, examples
from rosetta.cli.translations import finish

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.edits import Edit, ImageReference

_NUMBERS = {
    "steps": click.option("--steps", type=click.IntRange(1), metavar="N", help="Of the optimisation. [200]"),
    "rate": click.option("--rate", type=float, metavar="R", help="Of Adam, at its height. [0.1]"),
    "starts": click.option("--starts", type=click.IntRange(1), metavar="N", help="Latents to start from. [1]"),
    "pixel": click.option("--pixel", type=float, metavar="W", help="Weight of the difference of pixels. [0]"),
    "prior": click.option("--prior", type=float, metavar="W", help="How near the latent stays to the centre. [0.02]"),
    "keep": click.option("--keep", type=float, metavar="W", help="How near it stays to where it started. [0]"),
}


def _optimised(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of the optimiser."""
    for option in reversed(_NUMBERS.values()):
        command = option(command)
    return command


@click.command(
    epilog=examples(
        "rosetta invert dcgan-faces me.jpg --models efficientnet-lite0 --out made/",
        "rosetta invert dcgan-faces --probe-image faces:3 --probe-image faces:5",
    )
)
@click.argument("generator")
@click.argument("files", nargs=-1, metavar="[IMAGE]...")
@click.option("--probe-image", "placed", multiple=True, metavar="PROBE:N", help="An image of a probe set.")
@click.option("--models", metavar="A,B,...", help="Whose eyes to borrow. [all that share units with it]")
@click.option("--probe", metavar="NAME", help="On which they were mined. [the generator's newest]")
@click.option("--k", type=click.IntRange(1), metavar="K", help="Pairs are among each other's K best. [as mined, to 10]")
@click.option("--q-value", default="0.05", metavar="Q|all", help="Pairs below it steer. [0.05]")
@click.option("--min-r", type=float, default=0.0, metavar="R", help="Pairs with r so high steer. [0]")
@click.option("--layers", multiple=True, metavar="GLOB", help="Of the generator, whose units steer. [all]")
@click.option("--concept", "concepts", type=int, multiple=True, metavar="ID", help="Only pairs inside it.")
@click.option("--space", type=click.Choice(["z", "w", "w+"]), help="Of the latents. [w with styles, else z]")
@click.option("--class", "class_index", type=int, metavar="I", help="Of the images. [searched]")
@click.option("--seed", type=int, default=0, metavar="S", help="Of all draws. [0]")
@_optimised
@click.option("--out", type=click.Path(file_okay=False), metavar="DIR", help="Write pictures and recipe there.")
@connected
def invert(
    client: Client, generator: str, files: tuple[str, ...], out: str | None, *, as_json: bool, **asked: Any
) -> None:
    """Have a generator make images that other models see as they see the given ones."""
    from rosetta.edits import PairChoice

    images: list[Any] = [*files, *map(_placed, asked["placed"])]
    if not images:
        raise click.UsageError("Name an image: a file, or --probe-image PROBE:N.")
    q_value = asked["q_value"]
    job = client.invert(
        generator,
        images,
        models=None if asked["models"] is None else asked["models"].split(","),
        probe=asked["probe"],
        pairs=PairChoice(
            k=asked["k"],
            q_value=None if q_value == "all" else _number("--q-value", q_value),
            min_correlation=asked["min_r"],
            layers=asked["layers"],
            concepts=asked["concepts"],
        ),
        optimiser=_optimiser(asked),
        space=asked["space"],
        seed=asked["seed"],
        class_index=asked["class_index"],
    )
    finish(client, job, out, as_json=as_json)


@click.command(
    epilog=examples(
        "rosetta edit 1 --shift 8,0 --out moved/",
        "rosetta edit 1 --zoom 1.25 --remove dcgan-faces/813 --box 0,0,64,24",
    )
)
@click.argument("translation", type=int, metavar="ID")
@click.option("--shift", metavar="DX,DY", help="Move everything, pixels to the right and down.")
@click.option("--zoom", metavar="F[,X,Y]", help="Enlarge everything around a point. [the centre]")
@click.option("--copy", metavar="X,Y,W,H,TO_X,TO_Y", help="Copy a box to another place.")
@click.option("--copy-from", metavar="FILE", help="Then from this image in its place.")
@click.option("--raise", "raised", metavar="UNIT|CONCEPT", help="Have a unit, or a concept's units, fire more.")
@click.option("--lower", metavar="UNIT|CONCEPT", help="Have it fire less.")
@click.option("--remove", metavar="UNIT|CONCEPT", help="Have it fire no longer.")
@click.option("--amount", type=float, default=2.0, metavar="A", help="By so many deviations. [2]")
@click.option("--box", metavar="X,Y,W,H", help="Only there. [everywhere]")
@click.option("--align", metavar="FILE|PROBE:N", help="Have it match another image.")
@click.option("--strength", type=float, default=1.0, metavar="S", help="To this part. [1]")
@click.option("--position", "positions", type=int, multiple=True, metavar="N", help="Of its images. [all]")
@_optimised
@click.option("--out", type=click.Path(file_okay=False), metavar="DIR", help="Write pictures and recipe there.")
@connected
def edit(client: Client, translation: int, out: str | None, *, as_json: bool, **asked: Any) -> None:
    """Change what a translation made; several changes are made in the order of the options listed here."""
    edits = _edits(client, asked)
    if not edits:
        raise click.UsageError("Name a change: --shift, --zoom, --copy, --raise, --lower, --remove or --align.")
    handle = client.translation(translation)
    job = handle.edit(*edits, positions=list(asked["positions"]) or None, optimiser=_optimiser(asked, edited=True))
    finish(client, job, out, as_json=as_json)


def _edits(client: Client, asked: dict[str, Any]) -> list[Edit]:
    from rosetta.edits import Align, ChangeUnit, CopyPaste, Shift, Zoom

    edits: list[Edit] = []
    if asked["shift"] is not None:
        dx, dy = _several("--shift", asked["shift"], 2)
        edits.append(Shift(dx, dy))
    if asked["zoom"] is not None:
        factor, *centre = _several("--zoom", asked["zoom"], 1, 3)
        edits.append(Zoom(factor, (centre[0], centre[1]) if centre else None))
    if asked["copy"] is not None:
        x, y, width, height, to_x, to_y = _several("--copy", asked["copy"], 6)
        source = None if asked["copy_from"] is None else _sent(client, asked["copy_from"])
        edits.append(CopyPaste((x, y, width, height), (to_x, to_y), source))
    box = None
    if asked["box"] is not None:
        x, y, width, height = _several("--box", asked["box"], 4)
        box = (x, y, width, height)
    for action, option in (("raise", "raised"), ("lower", "lower"), ("remove", "remove")):
        if (what := asked[option]) is not None:
            named = {"concept": int(what)} if what.isdigit() else {"unit": what}
            edits.append(ChangeUnit(action, amount=asked["amount"], box=box, **named))  # type: ignore[arg-type]
    if asked["align"] is not None:
        edits.append(Align(_sent(client, asked["align"]), asked["strength"]))
    return edits


def _optimiser(asked: dict[str, Any], *, edited: bool = False) -> Any:
    """What was asked of the optimiser; None: nothing."""
    from rosetta.recipes import Optimiser

    given = {name: asked[name] for name in _NUMBERS if asked[name] is not None}
    if not given:
        return None
    draws = {"draws": given.get("starts", 1), "starts": 1} if edited else {}
    return Optimiser(**{**draws, **given})


def _placed(text: str) -> ImageReference:
    from rosetta.edits import ImageReference

    probe, _, position = text.rpartition(":")
    if not probe or not position.isdigit():
        raise click.BadParameter(f"'{text}' is not PROBE:N, such as faces:3", param_hint="--probe-image")
    return ImageReference(probe=probe, position=int(position))


def _sent(client: Client, text: str) -> ImageReference:
    """An image of a probe set, or a file, which the service has then."""
    from pathlib import Path

    from rosetta.edits import ImageReference

    probe, _, position = text.rpartition(":")
    if probe and position.isdigit() and not Path(text).expanduser().exists():
        return _placed(text)
    return ImageReference(digest=client.send_image(text))


def _several(option: str, text: str, *counts: int) -> list[float]:
    parts = text.split(",")
    if len(parts) not in counts:
        wanted = " or ".join(map(str, counts))
        raise click.BadParameter(f"'{text}' has {len(parts)} numbers, not {wanted}", param_hint=option)
    return [_number(option, part) for part in parts]


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is no number", param_hint=option) from None
