"""Collections of results: immutable sequences that become a data frame, an Arrow table or HTML."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from rosetta import html, strips
from rosetta.frames import Kind, from_json, kind_of_annotation, kind_of_postgres_type, to_arrow, to_pandas
from rosetta.results import Table
from rosetta.strips import Run, Strip
from rosetta.views import VIEWS, Column, cell, text_table

if TYPE_CHECKING:
    import pandas
    import pyarrow

T = TypeVar("T")
_SHOWN_IN_REPR = 10
_SHOWN_IN_HTML = 50


class Frame(Sequence[T], Generic[T]):
    """What dataclass rows and SQL rows have in common."""

    _run: Run | None = None

    def __init__(self, items: Iterable[T], columns: tuple[str, ...], kinds: tuple[Kind, ...], noun: str) -> None:
        self._items = tuple(items)
        self._kinds = kinds
        self._noun = noun
        self.columns = columns

    def _records(self) -> Iterator[tuple[Any, ...]]:
        raise NotImplementedError

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        raise NotImplementedError

    def strip(self, item: T) -> Strip | None:
        """The small picture of a row in a notebook, if it is about units."""
        return strips.of_row(item)

    def pictured(self, run: Run | None) -> Self:
        """Itself, with the means to fetch pictures when a notebook shows it; None: without."""
        self._run = run
        return self

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        if not isinstance(index, slice):
            return self._items[index]
        return self._with(self._items[index])

    def _with(self, items: tuple[T, ...]) -> Self:
        some = copy.copy(self)
        some._items = items
        return some

    def where(self, keep: Callable[[T], object]) -> Self:
        """The rows for which `keep(row)` is true."""
        return self._with(tuple(item for item in self._items if keep(item)))

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.columns == other.columns and self._items == other._items

    __hash__ = None  # type: ignore[assignment]  # rows may hold dictionaries

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame, one column a field.

        Raises:
            ImportError: without pandas: `pip install 'rosetta-neurons[frames]'`.
        """
        return to_pandas(self.columns, self._kinds, list(self._records()))

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table, one column a field; dictionaries become JSON text.

        Raises:
            ImportError: without pyarrow: `pip install 'rosetta-neurons[frames]'`.
        """
        return to_arrow(self.columns, self._kinds, list(self._records()))

    def _headline(self) -> str:
        return f"{self._noun}: {len(self):,}"

    def __repr__(self) -> str:
        if not self._items:
            return f"<no {self._noun}>"
        lines = text_table(self.view(), self._items[:_SHOWN_IN_REPR])
        more = len(self) - _SHOWN_IN_REPR
        return f"<{self._headline()}>\n{lines}" + (f"\n... and {more:,} more" if more > 0 else "")

    def _repr_html_(self) -> str:
        shown = self._items[:_SHOWN_IN_HTML]
        caption = self._headline()
        if len(shown) < len(self):
            caption += f", the first {len(shown)} shown"
        pictures, why_none = self._pictures(shown)
        return html.table(self.view(), shown, caption, pictures) + strips.without(why_none)

    def _pictures(self, shown: Sequence[T]) -> tuple[dict[int, str], str]:
        """HTML by row, and why there is none, if that is so."""
        wanted = {place: strip for place, item in enumerate(shown[: strips.MOST]) if (strip := self.strip(item))}
        return ({}, "") if self._run is None or not wanted else strips.draw(self._run, wanted)


def _cell_at(index: int, row: tuple[Any, ...]) -> str:
    return cell(row[index])


class Rows(Frame[T]):
    """Results of one type, such as matches: an immutable sequence.

    Example:
        >>> matches = client.unit("dcgan-faces", 214).matches(model="clip-rn50")
        >>> matches[0].correlation, matches.to_pandas().correlation.mean()
    """

    def __init__(self, items: Iterable[T], kind: type[T], noun: str) -> None:
        columns = fields(kind)  # type: ignore[arg-type]  # result types are dataclasses
        super().__init__(
            items,
            tuple(column.name for column in columns),
            tuple(kind_of_annotation(str(column.type)) for column in columns),
            noun,
        )
        self._kind = kind

    def _records(self) -> Iterator[tuple[Any, ...]]:
        return (tuple(getattr(item, name) for name in self.columns) for item in self._items)

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return VIEWS[self._kind]


class SqlRows(Frame[tuple[Any, ...]]):
    """Rows of a SQL query, as tuples.

    Attributes:
        columns: their names.
        types: their Postgres types.
        truncated: there were more rows than the service returns at once.
    """

    def __init__(self, table: Table) -> None:
        kinds = tuple(map(kind_of_postgres_type, table.types))
        rows = (tuple(map(from_json, row, kinds)) for row in table.rows)
        super().__init__(rows, table.columns, kinds, "rows")
        self.types = table.types
        self.truncated = table.truncated

    def _records(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._items)

    def view(self) -> tuple[Column, ...]:
        """The columns of a table for people."""
        return tuple(
            Column(name, partial(_cell_at, index), right=kind in {"int", "float"})
            for index, (name, kind) in enumerate(zip(self.columns, self._kinds, strict=True))
        )

    def _headline(self) -> str:
        return super()._headline() + (" (there are more: add a LIMIT and a WHERE)" if self.truncated else "")
