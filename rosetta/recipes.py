"""Recipes: all that makes an inversion or an edit again, bit for bit on the same device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec

from rosetta.edits import Align, ChangeUnit, CopyPaste, Edit, ImageReference, Shift, Zoom
from rosetta.errors import InvalidRequest

FORMAT = 1

_EDITS: dict[str, type] = {
    "shift": Shift,
    "zoom": Zoom,
    "copy-paste": CopyPaste,
    "unit": ChangeUnit,
    "align": Align,
}


@dataclass(frozen=True)
class Optimiser:
    """How the latent is looked for.

    `steps`: of Adam. `rate`: at its height. `draws`: latents that are ranked to start from. `starts`: that each image
    starts from; after `scouting` steps the best goes on alone. `prior`: weight of the latent's mean square. `keep`: of
    how far it moves from where it started. `pixel`: of the squared difference of pixels; `perceptual`: of LPIPS.
    """

    steps: int = 200
    rate: float = 0.1
    draws: int = 256
    starts: int = 1
    scouting: int = 40
    prior: float = 0.02
    keep: float = 0.0
    pixel: float = 0.0
    perceptual: float = 0.0


@dataclass(frozen=True)
class Weights:
    """A model: its name here, and the digest of its weights, which decides."""

    name: str
    weights_digest: str


@dataclass(frozen=True)
class RecipePair:
    """Units that fire alike: one of the generator, one of `models[model]`; mean, std and minimum on the probe set."""

    layer: str
    channel: int
    mean: float
    std: float
    model: int
    model_layer: str
    model_channel: int
    model_mean: float
    model_std: float
    model_minimum: float
    weight: float


@dataclass(frozen=True)
class Recipe:
    """All that makes a translation again.

    `images`: what each image is to become, or, of an edit, what it starts from. `latents`: of an edit, where it starts:
    float32, little-endian, in base64, of `shape`. `seed`: of all draws. `classes`: of each image, where an edit keeps
    them. `class_index`: of all draws; null: of a generator with classes, they are searched.
    """

    kind: Literal["inversion", "edit"]
    generator: Weights
    probe_set: str
    models: tuple[Weights, ...]
    pairs: tuple[RecipePair, ...]
    images: tuple[ImageReference, ...]
    space: Literal["z", "w", "w+"]
    optimiser: Optimiser
    seed: int = 0
    class_index: int | None = None
    truncation: float | None = None
    parent: int | None = None
    latents: str | None = None
    shape: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    edits: tuple[dict[str, Any], ...] = ()
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """The recipe as a JSON object."""
        return msgspec.to_builtins(asdict(self))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, value: object) -> Recipe:
        """The recipe that a JSON object is.

        Raises:
            InvalidRequest: when it is none, or one of another format.
        """
        try:
            recipe = msgspec.convert(value, cls)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"this is no recipe: {error}") from None
        if recipe.format != FORMAT:
            raise InvalidRequest(f"this recipe has format {recipe.format}, and this version reads {FORMAT}")
        for edit in recipe.edits:
            edit_of(edit)
        return recipe


def edit_of(value: dict[str, Any]) -> Edit:
    """The edit that a JSON object is.

    Raises:
        InvalidRequest: when it is none.
    """
    kind = _EDITS.get(str(value.get("kind")))
    if kind is None:
        raise InvalidRequest(f"there is no edit '{value.get('kind')}': there are {', '.join(_EDITS)}")
    try:
        edit: Edit = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"this is no edit of kind '{value['kind']}': {error}") from None
    return edit
