"""What a client asks when it steers a generator: inversions, edits, recipes, and what they made."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rosetta.edits import Edit, ImageReference, PairChoice
from rosetta.effects import Operation, Request
from rosetta.errors import InvalidRequest
from rosetta.image_sources import ImageSource, sent_image
from rosetta.pictures import Format, Picture
from rosetta.recipes import Optimiser
from rosetta.results import Job
from rosetta.translations import Translation
from rosetta.wire import decode, send

if TYPE_CHECKING:
    import numpy

Side = Literal["picture", "target"]
# An image that the service has, or one that is sent.
Target = ImageReference | ImageSource


def path_of(translation: int) -> str:
    """Where a translation is."""
    return f"/v1/translations/{translation}"


def invert(
    generator: str,
    images: Target | Sequence[Target],
    *,
    models: Sequence[str] | str | None,
    probe: str | None,
    pairs: PairChoice | None,
    optimiser: Optimiser | None,
    space: str | None,
    seed: int,
    class_index: int | None,
) -> Operation[Job]:
    """The job that has a generator make images; those that lie here were sent."""
    several: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
    body: dict[str, Any] = {"generator": generator, "seed": seed}
    body["images"] = yield from _references(several)
    body["models"] = [models] if isinstance(models, str) else None if models is None else list(models)
    body |= {"probe": probe, "space": space, "class_index": class_index}
    if pairs is not None:
        body["pairs"] = asdict(pairs)
    if optimiser is not None:
        body["optimiser"] = asdict(optimiser)
    return decode((yield from send(Request("POST", "/v1/inversions", body=body))), Job)


def edit(
    translation: int, edits: Sequence[Edit], positions: Sequence[int] | None, optimiser: Optimiser | None
) -> Operation[Job]:
    """The job that changes what a translation made."""
    if not edits:
        raise InvalidRequest("name an edit, such as Shift(8, 0)")
    body: dict[str, Any] = {"translation": translation, "edits": [_edit(one) for one in edits]}
    body["positions"] = None if positions is None else list(positions)
    if optimiser is not None:
        body["optimiser"] = asdict(optimiser)
    return decode((yield from send(Request("POST", "/v1/edits", body=body))), Job)


def run_recipe(recipe: Mapping[str, Any], *, again: bool) -> Operation[Job]:
    """The job that carries out a recipe."""
    body = {"recipe": dict(recipe), "again": again}
    return decode((yield from send(Request("POST", "/v1/recipes", body=body))), Job)


def get_translation(translation: int) -> Operation[Translation]:
    """A translation with its recipe and images."""
    return decode((yield from send(Request("GET", path_of(translation)))), Translation)


def picture(translation: int, position: int, side: Side, size: int | None, form: Format) -> Operation[Picture]:
    """An image of a translation, or what it was to become, as a file."""
    params = {"side": side, "size": size, "format": form}
    request = Request("GET", f"{path_of(translation)}/images/{position}", params=params)
    return Picture((yield from send(request)).content)


def latents(translation: int) -> Operation[numpy.ndarray]:
    """The latents of all its images, float32 [N, ...]."""
    try:
        import numpy
    except ImportError as error:
        raise ImportError("latents need numpy: pip install 'rosetta-neurons[frames]'") from error
    content = (yield from send(Request("GET", f"{path_of(translation)}/latents"))).content
    return numpy.load(io.BytesIO(content), allow_pickle=False)  # type: ignore[no-any-return]


def _references(images: Sequence[Target]) -> Operation[list[dict[str, Any]]]:
    found = []
    for image in images:
        one = image if isinstance(image, ImageReference) else ImageReference(digest=(yield from sent_image(image)))
        found.append(asdict(one))
    return found


def _edit(one: Edit) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(asdict(one))
    plain.pop("units", None)  # the service's own
    return plain
