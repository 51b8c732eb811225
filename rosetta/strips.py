"""Strips: the small picture of a row in a notebook, of the units that the row is about on the same images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from rosetta import html
from rosetta.effects import Operation, Request
from rosetta.errors import RosettaError, Unavailable
from rosetta.results import Concept
from rosetta.wire import send, together

# Carries out an operation, blocking: a transport's own.
Run = Callable[[Operation[Any]], Any]

MOST = 8  # rows with a picture: the page stays small
_IMAGES, _LINES = 4, 4  # in a strip at most
_CELL, _ALONE = 40, 64  # what a cell takes on the page; it is drawn with twice as many pixels


@dataclass(frozen=True)
class Strip:
    """A picture that the service draws.

    Attributes:
        path: of the request.
        params: of its query.
        width: on the page, pixels; None: as much as there is.
        about: for who does not see it.
    """

    path: str
    params: Mapping[str, Any]
    width: int | None
    about: str


def of_units(units: Sequence[tuple[str, int]], probe: str | None) -> Strip:
    """Of units, (model, number), on the images that the first of them fires on most."""
    # The same unit twice says nothing.
    addresses = list(dict.fromkeys(f"{model}/{number}" for model, number in units))
    params = {"unit": addresses, "probe": probe, "images": _IMAGES, "labels": "false"}
    return _strip("/v1/grid", params, " and ".join(addresses))


def of_row(row: Any) -> Strip | None:
    """Of a result: of a match both units, of an exemplar the unit on that image, of a concept its strongest units."""
    concept = row.id if isinstance(row, Concept) else getattr(row, "concept", None)
    if isinstance(concept, int):
        params = {"images": _IMAGES, "rows": _LINES, "labels": "false"}
        return _strip(f"/v1/concepts/{concept}/grid", params, f"units of concept {concept}")
    model, unit = getattr(row, "model", None), getattr(row, "unit", None)
    if not isinstance(model, str) or not isinstance(unit, int):
        return None
    probe = getattr(row, "probe_set", None)
    if isinstance(image := getattr(row, "image", None), int):
        path = f"/v1/models/{quote(model, safe='')}/units/{unit}/heatmap"
        params = {"image": image, "probe": probe}
        return _strip(path, params, f"{model}/{unit} on image {image}", width=_ALONE)
    neighbour = getattr(row, "neighbour_model", None)
    other = [(neighbour, row.neighbour_unit)] if isinstance(neighbour, str) else []
    return of_units([(model, unit), *other], probe)


def _strip(path: str, params: Mapping[str, Any], about: str, *, width: int | None = None) -> Strip:
    size = 2 * (width or _CELL)
    return Strip(path, {**params, "size": size, "format": "webp"}, width or _IMAGES * _CELL, about)


def draw(run: Run, strips: Mapping[int, Strip]) -> tuple[dict[int, str], str]:
    """The strips as HTML, by their keys, and why there is none, if that is so. Raises nothing: a page needs no picture.

    Args:
        run: carries out the requests.
        strips: of rows, by their places.
    """
    try:
        found: list[bytes | RosettaError] = run(_fetch(list(strips.values())))
    except RosettaError as error:
        return {}, error.message
    except (httpx.HTTPError, RuntimeError, OSError) as error:  # such as a client that was closed
        return {}, str(error)
    drawn = {
        place: html.picture(content, "image/webp", strip.about, strip.width)
        for (place, strip), content in zip(strips.items(), found, strict=True)
        if isinstance(content, bytes)
    }
    reasons = [error.message for error in found if isinstance(error, RosettaError)]
    return drawn, "" if drawn or not reasons else reasons[0]


def figure(run: Run | None, path: str, params: Mapping[str, Any], about: str) -> str:
    """One large picture as HTML, or why there is none; empty where `run` cannot fetch any. Raises nothing."""
    if run is None:
        return ""
    drawn, why_none = draw(run, {0: Strip(path, {**params, "format": "webp"}, None, about)})
    return drawn.get(0) or without(why_none)


def without(why: str) -> str:
    """The line in place of pictures."""
    return html.text(f"Without pictures: {why}", quiet=True) if why else ""


def _fetch(strips: Sequence[Strip]) -> Operation[list[bytes | RosettaError]]:
    """The files of the strips.

    The first is asked for alone: where no worker is at work, nobody waits for the others.

    Raises:
        Unavailable: when that is so.
    """
    found: list[bytes | RosettaError] = []
    if strips:
        try:
            found.append((yield from _content(strips[0])))
        except Unavailable:
            raise
        except RosettaError as error:
            found.append(error)
        found += yield from together([_content(strip) for strip in strips[1:]])
    return found


def _content(strip: Strip) -> Operation[bytes]:
    # Once: whoever looks at a page would wait for every other try.
    return (yield from send(Request("GET", strip.path, params=strip.params, repeatable=False))).content
