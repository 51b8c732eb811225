"""Masks: where a thing is to be seen on the images of a probe set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Masks:
    """What a probe set has masks of. `images`: on how many of its images the thing is to be seen."""

    probe_set: str
    text: str
    images: int
