"""Bodies of requests that steer a generator, checked by pydantic; what they mean is looked up behind them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rosetta.edits import Align, ChangeUnit, CopyPaste, ImageReference, PairChoice, Shift, Zoom
from rosetta.recipes import Optimiser
from service.recipes import Space

AnyEdit = Annotated[Shift | Zoom | CopyPaste | ChangeUnit | Align, Field(discriminator="kind")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Invert(_Body):
    """Images that a generator is to make, seen through the units it shares with models."""

    generator: str = Field(examples=["dcgan-faces"])
    images: list[ImageReference]
    models: list[str] | None = Field(None, description="whose eyes to borrow; else all that share units with it")
    probe: str | None = Field(None, description="on which they were mined; else the generator's newest")
    pairs: PairChoice = Field(default_factory=PairChoice, description="which pairs of units steer")
    optimiser: Optimiser = Field(default_factory=Optimiser)
    space: Space | None = Field(None, description="of the latents; else w where the generator has styles, and z")
    seed: int = 0
    class_index: int | None = Field(None, description="else, of a generator with classes, they are searched")


class EditTranslation(_Body):
    """Changes of what a translation made, one after the other."""

    translation: int
    edits: list[AnyEdit]
    positions: list[int] | None = Field(None, description="of its images; else all")
    optimiser: Optimiser | None = Field(None, description="else as the translation was made, from where it ended")


class RunRecipe(_Body):
    """A recipe, as `GET /v1/translations/{id}/recipe` gave it."""

    recipe: dict[str, Any]
    again: bool = Field(False, description="carry it out though it was carried out here")
