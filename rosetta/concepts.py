"""A concept, as the client hands it out: its numbers, its members, and its picture."""

from __future__ import annotations

from collections.abc import Sequence

from rosetta import html, pictures, results, strips
from rosetta.pictures import Format, Picture
from rosetta.results import ConceptMember
from rosetta.rows import Rows
from rosetta.strips import Strip
from rosetta.transport import AsyncTransport, Transport
from rosetta.views import number, probability

_CELL_IN_HTML = 144


class Members(Rows[ConceptMember]):
    """Units of a concept; each is seen beside the strongest one, on the same images."""

    def __init__(self, members: Sequence[ConceptMember], probe_set: str) -> None:
        super().__init__(members, ConceptMember, "members")
        strongest = max(members, key=lambda member: member.strength, default=None)
        self._first = [(strongest.model, strongest.unit)] if strongest else []
        self._probe_set = probe_set

    def strip(self, item: ConceptMember) -> Strip:
        """The strongest member, and this one below it."""
        return strips.of_units([*self._first, (item.model, item.unit)], self._probe_set)


class _ConceptHandle:
    """Units of several models that belong together on one probe set.

    Attributes:
        id: its number.
        probe_set: on which it was found.
        version: of the probe set's concepts.
        models: whose units they are.
        units: how many.
        cohesion: mean r of its pairs of best buddies.
        stability: from 0 to 1, how much of it comes back with other seeds.
        q_value: of its weakest pair.
        members: its units, by model and strength.
    """

    def __init__(self, transport: Transport | AsyncTransport, concept: results.Concept) -> None:
        self._pictures = transport.pictures
        self._result = concept
        self.id = concept.id
        self.probe_set = concept.probe_set
        self.version = concept.version
        self.models = concept.models
        self.units = concept.units
        self.cohesion = concept.cohesion
        self.stability = concept.stability
        self.q_value = concept.q_value
        self.members = Members(concept.members, concept.probe_set).pictured(self._pictures)

    def as_result(self) -> results.Concept:
        """The plain value that the service answered."""
        return self._result

    def __str__(self) -> str:
        """The concept in a line."""
        return (
            f"concept {self.id}: {self.units:,} units of {', '.join(self.models)} on probe set {self.probe_set}, "
            f"cohesion {number(self.cohesion)}, stability {number(self.stability, 2)}, q {probability(self.q_value)}"
        )

    def __repr__(self) -> str:
        return f"<{self}>\n{self.members!r}"

    def _repr_html_(self) -> str:
        path, params = f"/v1/concepts/{self.id}/grid", {"size": _CELL_IN_HTML}
        figure = strips.figure(self._pictures, path, params, f"units of concept {self.id} on the same images")
        return html.text(str(self)) + figure + self.members._repr_html_()


class ConceptHandle(_ConceptHandle):
    """A concept, which can be asked for its picture."""

    def __init__(self, transport: Transport, concept: results.Concept) -> None:
        super().__init__(transport, concept)
        self._transport = transport

    def grid(
        self,
        *,
        images: int | None = None,
        rows: int | None = None,
        per_model: int = 1,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """The figure of the paper: rows are the concept's strongest units, columns the images they fire on most.

        Args:
            images: how many; 8 when left out.
            rows: units at most, of every model the strongest first; 16 when left out.
            per_model: units of each model at most.
            size: the longer side of a cell, pixels; 192 when left out. All else is in proportion.
            format: `png` or `webp`.

        Raises:
            NotFound: when no exemplars of its units are stored.
            InvalidRequest: when the figure would be too large.
            Unavailable: when no worker is at work.

        Example:
            >>> client.concept(1).grid().save("concept.png")
        """
        operation = pictures.concept_grid(
            self.id, images=images, rows=rows, per_model=per_model, size=size, form=format
        )
        return self._transport.run(operation)


class AsyncConceptHandle(_ConceptHandle):
    """A concept, which can be asked for its picture without blocking."""

    def __init__(self, transport: AsyncTransport, concept: results.Concept) -> None:
        super().__init__(transport, concept)
        self._transport = transport

    async def grid(
        self,
        *,
        images: int | None = None,
        rows: int | None = None,
        per_model: int = 1,
        size: int | None = None,
        format: Format = "png",
    ) -> Picture:
        """As `ConceptHandle.grid`."""
        operation = pictures.concept_grid(
            self.id, images=images, rows=rows, per_model=per_model, size=size, form=format
        )
        return await self._transport.run(operation)
