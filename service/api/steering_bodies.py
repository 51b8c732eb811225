"""Bodies of requests that steer a generator, checked by pydantic; what they mean is looked up behind them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rosetta.edits import Align, ChangeUnit, CopyPaste, ImageReference, PairChoice, Shift, Zoom
from rosetta.interventions import Action
from rosetta.recipes import Optimiser
from service import submit_directions, submit_effects, submit_equivalents
from service.queries.matched_pairs import Q_VALUE
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


class Intervene(_Body):
    """Units of a generator that are changed, to see what they cause in the units of models that match them."""

    generator: str = Field(examples=["dcgan-faces"])
    models: list[str] | None = Field(None, description="who looks on; else all that share units with it")
    probe: str | None = Field(None, description="on which they were mined; else the generator's newest")
    action: Action = Field("zero", description="a unit does not fire, fires alike everywhere, or fires more")
    amount: float | None = Field(None, description="of set, its activation in deviations; of boost, the factor")
    box: list[float] | None = Field(None, description="x, y, width, height in pixels of its images; else everywhere")
    k: int | None = Field(None, description="pairs are each among the other's k best; else as many as mining kept")
    q_value: float = Field(Q_VALUE, description="pairs are below it")
    limit: int = Field(submit_effects.LIMIT, description="the strongest so many pairs of each model")
    latents: int = Field(submit_effects.LATENTS, description="images that are changed; 64 or more for a verdict")
    controls: int = Field(submit_effects.CONTROLS, description="random other units of each layer, at most")
    seed: int | None = Field(None, description="of the latents; else the probe set's + 1")


class FindDirections(_Body):
    """Directions of a generator's latents along which most changes."""

    generator: str = Field(examples=["dcgan-faces"])
    layer: str | None = Field(None, description="whose activations change most; else w, or the first layer's")
    models: list[str] | None = Field(None, description="whose units are watched; else all that share units with it")
    probe: str | None = Field(None, description="its statistics and concepts say what moves; else the newest")
    axes: int = Field(submit_directions.AXES, description="how many")
    samples: int | None = Field(None, description="to find them from; else ten a number of a latent, 2,000 at least")
    latents: int = Field(submit_directions.LATENTS, description="from where the movements are measured")
    controls: int = Field(submit_directions.CONTROLS, description="random directions beside them")
    class_index: int | None = Field(None, description="else, of a generator with classes, each sample draws its own")
    seed: int = 0


class FitEquivalents(_Body):
    """The units of a target model, to be told from those of a source that match them."""

    source: str = Field(examples=["efficientnet-lite0"])
    target: str = Field(examples=["dcgan-faces"])
    probe: str | None = Field(None, description="on which the two were compared; else the newest such")
    k: int | None = Field(None, description="matches that a unit is told from; else as many as mining kept, up to 10")
    ridge: float = Field(submit_equivalents.RIDGE, description="of the mean variance of a unit's matches")
    held_out: int = Field(submit_equivalents.HELD_OUT, description="images it is tested on, not fitted on")
    seed: int | None = Field(None, description="of these; else the probe set's + 1")
