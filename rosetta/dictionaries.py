"""Rosetta dictionaries, as the client hands them out: a sequence of tuples, with a column a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rosetta import results, strips
from rosetta.frames import Kind
from rosetta.results import DictionaryTuple
from rosetta.rows import Frame
from rosetta.strips import Strip
from rosetta.views import Column, number, probability, unit_cell


class Dictionary(Frame[DictionaryTuple]):
    """Tuples of units, one a model, that are best buddies of a generator's: an immutable sequence.

    A data frame of it has two columns a model, the unit's number and its r with the generator's unit.

    Attributes:
        generator: the model whose units come first in the tuples.
        models: the others, in the tuples' order.
        probe_set: on which they were mined.
        total: how many tuples there are; the sequence may have fewer, the strongest.
        largest: when there is none, the most of the models that have some together.
        largest_total: how many these have.

    Example:
        >>> found = client.dictionary("dcgan-faces", ["efficientnet-lite0", "mobilenet-v2"])
        >>> found.total, found[0].units, found.to_pandas().mean_correlation
    """

    def __init__(self, result: results.Dictionary) -> None:
        names = (result.generator, *result.models)
        columns = [result.generator, *(column for name in result.models for column in (name, f"{name} r"))]
        of_model: tuple[Kind, ...] = ("int", "float")
        super().__init__(
            result.tuples,
            (*columns, "mean_correlation", "min_correlation", "q_value"),
            ("int", *(of_model * len(result.models)), "float", "float", "float"),
            "tuples",
        )
        self._result = result
        self._names = names
        self.generator = result.generator
        self.models = result.models
        self.probe_set = result.probe_set
        self.total = result.total
        self.largest = result.largest
        self.largest_total = result.largest_total

    def as_result(self) -> results.Dictionary:
        """The plain value that the service answered."""
        return self._result

    def _records(self) -> Iterator[tuple[Any, ...]]:
        for row in self._items:
            first, *others = row.units
            cells = (value for unit in others for value in (unit.unit, unit.correlation))
            yield (first.unit, *cells, row.mean_correlation, row.min_correlation, row.q_value)

    def view(self) -> tuple[Column, ...]:
        """A column a model, and the numbers of the tuple."""
        return (
            *(Column(name, _unit_at(place)) for place, name in enumerate(self._names)),
            Column("mean r", lambda row: number(row.mean_correlation), right=True),
            Column("least r", lambda row: number(row.min_correlation), right=True),
            Column("q", lambda row: probability(row.q_value), right=True),
        )

    def strip(self, item: DictionaryTuple) -> Strip:
        """The units of a tuple, on the images that the generator's fires on most."""
        return strips.of_units([(unit.model, unit.unit) for unit in item.units], self.probe_set)

    def __str__(self) -> str:
        """How many tuples there are of what, and what there is when there are none."""
        result = self._result
        models = ", ".join(result.models)
        buddies = "best buddies" if result.k == 1 else f"each among the other's {result.k} best"
        pairs = ", also of each other" if result.strict else ""
        limit = "" if result.q_value is None else f", q < {result.q_value:g}"
        what = f"of {result.generator} with {models} on probe set {result.probe_set} ({buddies}{pairs}{limit})"
        if result.total:
            return f"{_tuples(result.total)} {what}"
        if not result.largest:
            return f"no tuple {what}, nor with any one of these models"
        with_ = f"the largest set with some is {', '.join(result.largest)}, with {_tuples(result.largest_total)}"
        return f"no tuple {what}; {with_}"

    def _headline(self) -> str:
        shown = "" if len(self) == self.total else f", {len(self):,} of them here"
        return f"{self}{shown}"

    def __repr__(self) -> str:
        return super().__repr__() if self._items else f"<{self}>"


def _tuples(count: int) -> str:
    return "1 tuple" if count == 1 else f"{count:,} tuples"


def _unit_at(place: int) -> Callable[[Any], str]:
    def text(row: Any) -> str:
        unit = row.units[place]
        return unit_cell(unit.unit, unit.layer, unit.channel)

    return text
