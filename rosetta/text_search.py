"""Search by text: what is found, and what was searched."""

from __future__ import annotations

from dataclasses import dataclass

from rosetta.labels import TextMatch
from rosetta.rows import Rows


@dataclass(frozen=True)
class TextAnswer:
    """What a text finds: what labels say, and then the units that an image-text model finds.

    `searched`: `label`, and the model's name where it was asked. `note`: why none was, or not yet.
    """

    items: tuple[TextMatch, ...]
    searched: tuple[str, ...]
    note: str | None = None


class TextMatches(Rows[TextMatch]):
    """What a text finds.

    Attributes:
        searched: `label`, and the image-text model that was asked, if one was.
        note: why none was, or not yet.
    """

    def __init__(self, answer: TextAnswer) -> None:
        super().__init__(answer.items, TextMatch, "units and concepts")
        self.searched = answer.searched
        self.note = answer.note

    def _headline(self) -> str:
        return f"{super()._headline()} (searched: {', '.join(self.searched)})"
