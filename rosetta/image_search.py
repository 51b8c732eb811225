"""What a search by image finds."""

from __future__ import annotations

from dataclasses import dataclass

from rosetta.results import Shown


@dataclass(frozen=True)
class ImageMatch(Shown):
    """A unit that answers to an image, or to a box in it.

    With z, the activation less its mean over the probe set, in standard deviations: `inside` is the mean z inside the
    box, `outside` that outside it, and `score` their difference; without a box, `score` and `inside` are the mean z
    over the image, and `outside` is null.
    """

    rank: int
    model: str
    layer: str
    unit: int
    channel: int
    score: float
    inside: float
    outside: float | None
    probe_set: str
