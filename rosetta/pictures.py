"""What the client asks about pictures: the images that a unit fires on, its heat maps, and grids, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rosetta import html
from rosetta.effects import Operation, Request
from rosetta.errors import Unavailable
from rosetta.files import write_whole
from rosetta.operations import models_path
from rosetta.results import Exemplar, Page
from rosetta.rows import Rows
from rosetta.waiting import get_job, wait_for
from rosetta.wire import decode, send

Measure = Literal["maximum", "mean"]
Format = Literal["webp", "png"]

_TRIES = 3  # a picture of many models takes longer than a request waits


class Picture(bytes):
    """A picture: the bytes of its file. A notebook shows it.

    Example:
        >>> client.concept(1).grid().save("concept.png")
    """

    @property
    def media_type(self) -> str:
        """`image/png` or `image/webp`."""
        return "image/png" if self.startswith(b"\x89PNG") else "image/webp"

    def save(self, path: str | Path) -> Path:
        """The path, where the file is now; written whole or not at all.

        Raises:
            InvalidRequest: when it cannot be written there.
        """
        return write_whole(Path(path).expanduser(), self)

    def __repr__(self) -> str:
        return f"<{self.media_type} of {len(self):,} bytes>"

    def _repr_html_(self) -> str:
        return html.picture(self, self.media_type, "heat maps")


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
) -> Operation[Picture]:
    """A unit's activation map on an image of a probe set, as a file; waits while a worker makes it."""
    params = {"image": image, "probe": probe, "quantile": quantile, "size": size, "format": form}
    params["overlay"] = "true" if overlay else "false"
    return (yield from picture(f"{models_path(model)}/units/{number}/heatmap", params))


def unit_grid(
    model: str,
    number: int,
    into: str | None,
    top: int,
    *,
    best_buddies: bool,
    probe: str | None,
    by: Measure,
    images: int | None,
    size: int | None,
    form: Format,
) -> Operation[Picture]:
    """A unit and its best matches on the same images, as a file; waits while a worker makes it."""
    params = {"in": into, "top": top, "probe": probe, "by": by, "images": images, "size": size, "format": form}
    params["best_buddies"] = "true" if best_buddies else None
    return (yield from picture(f"{models_path(model)}/units/{number}/grid", params))


def concept_grid(
    concept: int, *, images: int | None, rows: int | None, per_model: int, size: int | None, form: Format
) -> Operation[Picture]:
    """The strongest units of a concept on the same images, as a file; waits while a worker makes it."""
    params = {"images": images, "rows": rows, "per_model": per_model, "size": size, "format": form}
    return (yield from picture(f"/v1/concepts/{concept}/grid", params))


def picture(path: str, params: Mapping[str, Any]) -> Operation[Picture]:
    """A picture that the service draws; asked for again as long as a worker is at work on it.

    Raises:
        Unavailable: when none is.
        JobFailed: when it cannot be made.
    """
    tries = _TRIES
    while True:
        try:
            return Picture((yield from send(Request("GET", path, params=params))).content)
        except Unavailable as error:
            tries -= 1
            number = error.details.get("job")
            if not tries or not isinstance(number, int) or (yield from get_job(number)).state == "queued":
                raise
        yield from wait_for(number, lambda job: None, None)
