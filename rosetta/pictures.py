"""What the client asks about pictures: the images that a unit fires on, and its heat maps as files."""

from __future__ import annotations

from typing import Literal

from rosetta.effects import Operation, Request
from rosetta.operations import models_path
from rosetta.results import Exemplar, Page
from rosetta.rows import Rows
from rosetta.wire import decode, send

Measure = Literal["maximum", "mean"]
Format = Literal["webp", "png"]


def exemplars(model: str, number: int, probe: str | None, by: Measure) -> Operation[Rows[Exemplar]]:
    """The images of a probe set on which a unit fires most, best first."""
    request = Request("GET", f"{models_path(model)}/units/{number}/exemplars", params={"probe": probe, "by": by})
    return Rows(decode((yield from send(request)), Page[Exemplar]).items, Exemplar, "exemplars")


def heatmap(
    model: str,
    number: int,
    image: int,
    probe: str | None,
    *,
    overlay: bool,
    quantile: float | None,
    size: int | None,
    form: Format,
) -> Operation[bytes]:
    """A unit's activation map on an image of a probe set, as a file; waits while a worker makes it."""
    params = {"image": image, "probe": probe, "quantile": quantile, "size": size, "format": form}
    params["overlay"] = "true" if overlay else "false"
    response = yield from send(Request("GET", f"{models_path(model)}/units/{number}/heatmap", params=params))
    return response.content
