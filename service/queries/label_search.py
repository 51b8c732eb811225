"""Labels by their words: full-text search in Postgres."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from rosetta.labels import TextMatch
from service.database.schema import labels, layers, models, probe_sets, units
from service.queries import names
from service.queries.labels import JOINED
from service.queries.words import words_query

LARGEST_TOP = 1000
BY_LABEL = "label"


def search_labels(
    conn: sa.Connection, text: str, *, within: str | None = None, probe: str | None = None, top: int = 10
) -> list[TextMatch]:
    """Units and concepts whose labels have the words of a text, the best first; none where no label has them.

    All words have to be there, as they are, by their stem, or as a beginning: `glass`
    finds `glasses` and `eye glasses`.

    Args:
        conn: where to look.
        text: one word or several.
        within: only units of this model, family or nickname; None: concepts too.
        probe: only what people say, and what was measured on this probe set.
        top: how many.

    Raises:
        NotFound: when a name is unknown, with the nearest ones.
        InvalidRequest: when there is no word in the text, or `top` is out of range.
    """
    if not 1 <= top <= LARGEST_TOP:
        raise InvalidRequest(f"top must be between 1 and {LARGEST_TOP}, not {top}", top=top)
    query = words_query(text)
    # A label of many words says less about each; a person's counts before a job's of the same fit.
    rank = sa.func.ts_rank(labels.c.words, query, 1)
    columns: tuple[sa.ColumnElement[Any], ...] = (
        rank.label("score"),
        labels.c.text,
        labels.c.kind,
        labels.c.author,
        models.c.name.label("model"),
        layers.c.name.label("layer"),
        labels.c.unit,
        units.c.channel,
        labels.c.concept_id.label("concept"),
        probe_sets.c.name.label("probe_set"),
    )
    statement = sa.select(*columns).select_from(JOINED).where(labels.c.words.op("@@")(query))
    if within is not None:
        statement = statement.where(models.c.id.in_([row.id for row in names.resolve_models(conn, within)]))
    if probe is not None:
        on = names.probe_row(conn, probe).id
        statement = statement.where(sa.or_(labels.c.probe_set_id == on, labels.c.probe_set_id.is_(None)))
    order = (rank.desc(), labels.c.kind != "person", labels.c.score.desc().nulls_last(), labels.c.id)
    rows = conn.execute(statement.order_by(*order).limit(top))
    return [TextMatch(rank=place, by=BY_LABEL, **row._mapping) for place, row in enumerate(rows, start=1)]
