"""Labels: what people and jobs say that units and concepts answer to, and what a search by text finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from rosetta.results import Shown

LabelKind = Literal["person", "text", "mask"]


@dataclass(frozen=True)
class Label(Shown):
    """What a unit or a concept answers to, in words.

    `kind`: `person`, typed by `author`; `text`, by the similarity of an image-text model, the author; `mask`, by
    overlap with masks of a probe set. `score`: the similarity, or intersection over union; null of a person.
    A unit's label has `model` to `channel`, a concept's `concept`. `evidence`: how it came about.
    """

    id: int
    kind: LabelKind
    text: str
    author: str
    score: float | None
    model: str | None
    layer: str | None
    unit: int | None
    channel: int | None
    concept: int | None
    probe_set: str | None
    created_at: datetime
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextMatch(Shown):
    """A unit or a concept that a text finds.

    `by`: `label`, where the words are in the label `text` of that `kind`; or the name of an image-text model, by whose
    similarities the unit was found. `score`: how well; comparable among rows of the same `by` alone.
    """

    rank: int
    by: str
    score: float
    text: str
    kind: LabelKind | None
    author: str | None
    model: str | None
    layer: str | None
    unit: int | None
    channel: int | None
    concept: int | None
    probe_set: str | None
