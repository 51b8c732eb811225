"""Formats: numbers, times and addresses as people read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from rosetta.image_search import ImageMatch
from rosetta.labels import Label
from service.web import edit_forms

_NONE = "\N{EN DASH}"
_STEPS = ((60, "s"), (60, "min"), (24, "h"), (365, "d"))


def count(value: int) -> str:
    """`1,234`."""
    return f"{value:,}"


def correlation(value: float) -> str:
    """`0.603`, and a true minus sign."""
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def decimal(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def q_value(value: float | None) -> str:
    """`0.012`, `< 0.001`, or a dash where there was no test."""
    if value is None:
        return _NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def chance(value: float | None) -> str:
    """A mean count, or a dash where there was no test."""
    return _NONE if value is None else f"{value:.1f}"


def percent(value: float) -> str:
    """Of a share from 0 to 1, for an attribute; below 0 is 0."""
    return f"{min(max(value, 0), 1) * 100:.1f}%"


def duration(seconds: float | None) -> str:
    """`12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds is None:
        return _NONE
    for step, unit in _STEPS:
        if seconds < step or unit == "d":
            break
        seconds /= step
    return f"{seconds:.0f} {unit}"


def ago(moment: datetime | None) -> str:
    """How long ago: `12 s ago`."""
    return _NONE if moment is None else f"{duration(max((datetime.now(UTC) - moment).total_seconds(), 0))} ago"


def day(moment: datetime) -> str:
    """Day and minute, UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def plain(value: Any) -> str:
    """What a JSON value says, without brackets where it is one word."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def label_origin(label: Label) -> str:
    """Where a label comes from, and what its score means."""
    if label.kind == "text":
        return f"by {label.author}: the score is the similarity of words and images on {label.probe_set}"
    if label.kind == "mask":
        return f"by masks of {label.probe_set}: the score is the overlap, intersection over union"
    before = label.evidence.get("carried_over_from")
    of = f" of concept {before}, most of whose units are in this one" if before else ""
    return f"{label.author} said so{of}, {day(label.created_at)}"


def heat_map(model: str, unit: int, image: int, probe: str, version: str = "") -> str:
    """The address of a unit's heat map over one image; with the version of what it shows, it may be kept for ever."""
    values = {"probe": probe, "image": image, "overlay": "true", "size": 192, "version": version}
    return with_parameters(f"/v1/models/{quote(model)}/units/{unit}/heatmap", **values)


def heat_map_here(image: str, match: ImageMatch) -> str:
    """The address of a unit's heat map over an uploaded image."""
    wanted = urlencode({"model": match.model, "unit": match.unit, "probe": match.probe_set, "size": 192})
    return f"/v1/images/{quote(image)}/heatmap?{wanted}"


def signed(value: float) -> str:
    """`+2.31`, and a true minus sign."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def image(number: int, probe: str, version: str = "") -> str:
    """The address of an image of a probe set; with the version of what it shows, it may be kept for ever."""
    return with_parameters(f"/v1/probes/{quote(probe)}/images/{number}", size=192, version=version)


def with_parameters(path: str, **values: object) -> str:
    """An address with those parameters that are set."""
    wanted = {
        name.rstrip("_"): value for name, value in values.items() if value not in (None, "") and value is not False
    }
    text = urlencode({name: "true" if value is True else value for name, value in wanted.items()})
    return f"{path}?{text}" if text else path


FILTERS: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (count, correlation, decimal, q_value, chance, percent, duration, ago, day, plain, label_origin)
} | {
    "heat_map_here": heat_map_here,
    "signed": signed,
    "heat_map": heat_map,
    "image_url": image,
    "edit": edit_forms.describe,
    "reference": edit_forms.describe_image,
    "with": with_parameters,
}
