"""Labels by their words: full-text search in Postgres."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.sql.base import ColumnCollection

from rosetta.errors import InvalidRequest
from rosetta.labels import TextMatch
from service.database.schema import concept_versions, concepts, labels, layers, models, probe_sets, units
from service.queries import names
from service.queries.labels import JOINED
from service.queries.words import words_query

LARGEST_TOP = 1000
BY_LABEL = "label"

_VERSIONS = JOINED.outerjoin(concepts, concepts.c.id == labels.c.concept_id).outerjoin(
    concept_versions, concept_versions.c.id == concepts.c.version_id
)
_PROBE_SET = sa.func.coalesce(labels.c.probe_set_id, concept_versions.c.probe_set_id)


def search_labels(
    conn: sa.Connection, text: str, *, within: str | None = None, probe: str | None = None, top: int = 10
) -> list[TextMatch]:
    """Units and concepts whose labels have the words of a text, the best first; none where no label has them.

    All words have to be there, as they are, by their stem, or as a beginning: `glass` finds `glasses` and
    `eye glasses`. Each unit and concept comes once, by the label that fits best; concepts are the newest of their
    probe set.

    Args:
        conn: where to look.
        text: one word or several.
        within: only units of this model, family or nickname; None: concepts too.
        probe: only concepts of this probe set, and of units what people say and what was measured on it.
        top: how many.

    Raises:
        NotFound: when a name is unknown, with the nearest ones.
        InvalidRequest: when there is no word in the text, or `top` is out of range.
    """
    if not 1 <= top <= LARGEST_TOP:
        raise InvalidRequest(f"top must be between 1 and {LARGEST_TOP}, not {top}", top=top)
    fitting = _fitting(words_query(text))
    if within is not None:
        fitting = fitting.where(models.c.id.in_([row.id for row in names.resolve_models(conn, within)]))
    if probe is not None:
        on = names.probe_row(conn, probe).id
        fitting = fitting.where(sa.func.coalesce(_PROBE_SET, on) == on)
    target = (labels.c.model_id, labels.c.unit, labels.c.concept_id)
    best = fitting.ext(distinct_on(*target)).order_by(*target, *_by_fit(fitting.selected_columns)).subquery()
    probe_name = sa.select(probe_sets.c.name).where(probe_sets.c.id == best.c.probe_set_id).scalar_subquery()
    columns = [best.c[name] for name in _SHOWN]
    found = sa.select(*columns, probe_name.label("probe_set")).order_by(*_by_fit(best.c)).limit(top)
    rows = conn.execute(found)
    return [TextMatch(rank=place, by=BY_LABEL, **row._mapping) for place, row in enumerate(rows, start=1)]


_SHOWN = ("score", "text", "kind", "author", "model", "layer", "unit", "channel", "concept")


def _fitting(query: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """The labels that a query fits, of units and of the newest concepts."""
    newest = sa.select(sa.func.max(concept_versions.c.id)).group_by(concept_versions.c.probe_set_id)
    columns: tuple[sa.ColumnElement[Any], ...] = (
        # A label of many words says less about each.
        sa.func.ts_rank(labels.c.words, query, 1).label("score"),
        labels.c.text,
        labels.c.kind,
        labels.c.author,
        models.c.name.label("model"),
        layers.c.name.label("layer"),
        labels.c.unit,
        units.c.channel,
        labels.c.concept_id.label("concept"),
        _PROBE_SET.label("probe_set_id"),
        labels.c.score.label("measured"),
        labels.c.id,
    )
    current = sa.or_(labels.c.concept_id.is_(None), concept_versions.c.id.in_(newest))
    return sa.select(*columns).select_from(_VERSIONS).where(labels.c.words.op("@@")(query), current)


def _by_fit(columns: ColumnCollection[str, Any]) -> tuple[sa.ColumnElement[Any], ...]:
    """The best first; a person's before a job's of the same fit."""
    measured = columns["measured"].desc().nulls_last()
    return columns["score"].desc(), columns["kind"] != "person", measured, columns["id"]
