"""What a search by image finds."""

from __future__ import annotations

from dataclasses import dataclass

from rosetta.results import Shown


@dataclass(frozen=True)
class ImageMatch(Shown):
    """A unit that answers to an image, or to a box in it.

    With z, the activation less its mean over the probe set, in standard deviations: `inside` is the mean z inside the
    box, `outside` that outside it, and `score` their difference; without a box, `score` and `inside` are the mean z
    over the image, and `outside` is null. `peak` is the greatest z in the box, or on the image.
    """

    rank: int
    model: str
    layer: str
    unit: int
    channel: int
    score: float
    inside: float
    outside: float | None
    peak: float
    probe_set: str


@dataclass(frozen=True)
class ImageAnswer:
    """What answers to an image: units of `models`, held against their distribution over `probe_set`.

    `left_out`: units that have no score, as a map of one position has no inside. `note`: what a reader should know.
    """

    items: tuple[ImageMatch, ...]
    probe_set: str
    models: tuple[str, ...]
    left_out: int
    note: str | None = None
