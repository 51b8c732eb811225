"""Edits of an image through shared units, and the choices of an inversion: plain values that make up a recipe.

Places are in pixels of the generator's images, from the upper left corner, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# x, y, width, height.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ImageReference:
    """An image: an uploaded one by its sha256, one of a probe set, or one that a translation made.

    Name either `digest`, or `probe` and `position`, or `translation` and `position`.
    """

    digest: str | None = None
    probe: str | None = None
    translation: int | None = None
    position: int | None = None


@dataclass(frozen=True)
class Shift:
    """Everything moves by `dx` to the right and `dy` down; what comes in is each unit's mean."""

    dx: float
    dy: float
    kind: Literal["shift"] = "shift"


@dataclass(frozen=True)
class Zoom:
    """Everything grows `factor` times around a point, the centre where none is named."""

    factor: float
    centre: tuple[float, float] | None = None
    kind: Literal["zoom"] = "zoom"


@dataclass(frozen=True)
class CopyPaste:
    """What is in `box` appears with its upper left corner at `to` as well; of another image where one is named."""

    box: Box
    to: tuple[float, float]
    image: ImageReference | None = None
    kind: Literal["copy-paste"] = "copy-paste"


@dataclass(frozen=True)
class ChangeUnit:
    """A unit, or those of a concept, fire more or less by `amount` deviations, or no longer; in `box` or everywhere.

    Name either `unit`, an address such as `dcgan-faces/813`, or `concept`; `units` is what the service makes of it.
    `remove` puts it at its least activation.
    """

    action: Literal["raise", "lower", "remove"]
    unit: str | None = None
    concept: int | None = None
    amount: float = 2.0
    box: Box | None = None
    units: tuple[str, ...] = ()
    kind: Literal["unit"] = "unit"


@dataclass(frozen=True)
class Align:
    """The image comes to match another one: another class, a sketch, a photograph."""

    image: ImageReference
    strength: float = 1.0
    kind: Literal["align"] = "align"


Edit = Shift | Zoom | CopyPaste | ChangeUnit | Align


@dataclass(frozen=True)
class PairChoice:
    """Which pairs of units steer: those that are among each other's k best, with r and q so good, on these layers.

    `layers`, `model_layers`: globs over the generator's and the models' layers. `concepts`: only pairs inside them.
    `limit`: the strongest so many of each model. `k` null: as many as mining kept, up to 10; all else that is empty or
    null chooses nothing away.
    """

    k: int | None = None
    q_value: float | None = 0.05
    min_correlation: float = 0.0
    layers: tuple[str, ...] = ()
    model_layers: tuple[str, ...] = ()
    concepts: tuple[int, ...] = ()
    limit: int | None = None
