"""Translations: what inversions and edits made, as the service returns it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from rosetta.edits import ImageReference
from rosetta.results import Shown


@dataclass(frozen=True)
class TranslationImage(Shown):
    """An image that a generator was steered to.

    `reference`: what it was to become. `correlation`: the weighted mean r that the steering units reached; null where
    no loss was finite. `psnr` (dB) and `ssim`: how alike it is to that image; null of an edit, whose target is no
    image. `lpips`: where its weights were there. `start`: which of the starts was kept. `losses`: of that one, by step.
    """

    position: int
    reference: ImageReference
    space: Literal["z", "w", "w+"]
    class_index: int | None
    start: int
    correlation: float | None
    psnr: float | None
    ssim: float | None
    lpips: float | None
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Translation(Shown):
    """An inversion, or an edit of what one made. `recipe` and `items` are empty in listings.

    `recipe`: all that makes it again: digests, pairs of units with their statistics, every number. `parent`: of an
    edit, the translation it starts from; null when that was removed. `pairs`: how many pairs of units steered.
    """

    id: int
    kind: Literal["inversion", "edit"]
    parent: int | None
    generator: str
    probe_set: str
    images: int
    pairs: int
    created_at: datetime
    job: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    items: tuple[TranslationImage, ...] = ()
