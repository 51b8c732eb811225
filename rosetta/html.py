"""Results in a notebook: tables with small pictures, in the notebook's own colours, dark or light.

Every text is escaped. A picture is part of the page, as a data URI: it is there without the service, too.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from rosetta.results import Layer, Model
from rosetta.views import VIEWS, Column


def picture(content: bytes, media_type: str, about: str, width: int | None = None) -> str:
    """An image that carries its own bytes.

    Args:
        content: of its file.
        media_type: of it.
        about: for who does not see it.
        width: on the page, pixels; None: as much as there is, up to 1000.
    """
    size = "max-width:min(100%,1000px)" if width is None else f"width:{width}px;max-width:none"
    data = base64.b64encode(content).decode()
    style = f"border-radius:4px;margin:2px 0;{size};height:auto"
    return f'<img src="data:{media_type};base64,{data}" alt="{escape(about)}" style="{style}">'


def text(words: str, *, quiet: bool = False) -> str:
    """A paragraph."""
    style = ' style="opacity:.7"' if quiet else ""
    return f"<p{style}>{escape(words)}</p>"


def record(row: Any) -> str:
    """One result as a table of one row, and a model's layers below it."""
    kind = type(row)
    layers = table(VIEWS[Layer], row.layers, "layers") if isinstance(row, Model) and row.layers else ""
    return table(VIEWS[kind], [row], kind.__name__) + layers


def table(
    columns: Sequence[Column], rows: Iterable[Any], caption: str, pictures: Mapping[int, str] | None = None
) -> str:
    """Rows as a table.

    Args:
        columns: what a row shows.
        rows: what they show it of.
        caption: over the table.
        pictures: by the row's place, HTML; of none there is no column, else the first one.
    """

    def line(tag: str, texts: Iterable[str], drawn: str | None) -> str:
        cells = [
            f'<{tag} style="{_style(column)}">{escape(words)}</{tag}>'
            for column, words in zip(columns, texts, strict=True)
        ]
        if drawn is not None:
            cells.insert(0, f'<{tag} style="text-align:left">{drawn}</{tag}>')
        return f"<tr>{''.join(cells)}</tr>"

    head = line("th", (column.heading for column in columns), "where they fire" if pictures else None)
    body = "".join(
        line("td", (column.text(row) for column in columns), pictures.get(place, "") if pictures else None)
        for place, row in enumerate(rows)
    )
    return f"<table><caption>{escape(caption)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def _style(column: Column) -> str:
    return f"text-align:{'right' if column.right else 'left'}" + ("" if column.wraps else ";white-space:nowrap")
