"""Translations between models: how well the units of one are told from those of another."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa

from rosetta.equivalents import Equivalents, Explained, UnitEquivalent
from rosetta.errors import NotFound
from rosetta.results import Page
from service.database.schema import equivalents, models, probe_sets
from service.queries import names, pages

_source, _target = models.alias("source"), models.alias("target")
_COLUMNS = (
    equivalents.c.id,
    probe_sets.c.name.label("probe_set"),
    _source.c.name.label("source"),
    _target.c.name.label("target"),
    *(equivalents.c[name] for name in ("k", "images", "held_out", "unseen", "created_at", "digest")),
    *(equivalents.c[f"{what}_{how}"] for what in ("pooled", "maps") for how in ("explained", "best", "chance")),
    sa.func.cardinality(equivalents.c.units).label("units"),
    equivalents.c.job_id.label("job"),
)
_FROM = (
    equivalents.join(probe_sets, probe_sets.c.id == equivalents.c.probe_set_id)
    .join(_source, _source.c.id == equivalents.c.source_model_id)
    .join(_target, _target.c.id == equivalents.c.target_model_id)
)


def list_equivalents(
    conn: sa.Connection,
    *,
    source: str | None = None,
    target: str | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Equivalents]:
    """Translations without their units, newest first.

    Args:
        conn: where to look.
        source: from this model, family or nickname; None: any.
        target: to this one.
        limit: translations a page.
        cursor: of the page before.

    Raises:
        NotFound: when there is no such model.
        InvalidRequest: when the limit or the cursor is none.
    """
    statement = sa.select(*_COLUMNS).select_from(_FROM)
    for side, mention in ((_source, source), (_target, target)):
        if mention is not None:
            statement = statement.where(side.c.id.in_([row.id for row in names.resolve_models(conn, mention)]))
    if cursor is not None:
        statement = statement.where(equivalents.c.id < pages.decode_cursor(cursor, int)[0])
    rows = conn.execute(statement.order_by(equivalents.c.id.desc()).limit(pages.check_limit(limit) + 1)).all()
    return pages.paged(rows, limit, key=lambda row: (row.id,), item=_result)


def get_equivalents(conn: sa.Connection, number: int) -> Equivalents:
    """A translation, with how well each unit is told.

    Raises:
        NotFound: when there is none of that number.
    """
    row = _row(conn, number)
    columns = equivalents.c
    by_unit = conn.execute(
        sa.select(
            columns.units,
            columns.pooled_by_unit,
            columns.pooled_by_unit_chance,
            columns.maps_by_unit,
            columns.maps_by_unit_chance,
        ).where(columns.id == number)
    ).one()
    items = tuple(UnitEquivalent(unit, *map(_share, shares)) for unit, *shares in zip(*by_unit, strict=True))
    return _result(row, items)


def digest_of(conn: sa.Connection, number: int) -> str:
    """The digest of a translation's coefficients.

    Raises:
        NotFound: when there is no translation of that number.
    """
    digest: str = _row(conn, number).digest
    return digest


def _row(conn: sa.Connection, number: int) -> sa.Row[Any]:
    statement = sa.select(*_COLUMNS).select_from(_FROM).where(equivalents.c.id == number)
    row = conn.execute(statement).one_or_none() if 0 <= number < 2**31 else None
    if row is None:
        raise NotFound(f"no translation between models {number}: `rosetta translate` fits one", equivalents=number)
    return row


def _result(row: Any, items: tuple[UnitEquivalent, ...] = ()) -> Equivalents:
    return Equivalents(
        id=row.id,
        probe_set=row.probe_set,
        source=row.source,
        target=row.target,
        k=row.k,
        images=row.images,
        held_out=row.held_out,
        unseen=row.unseen,
        units=row.units,
        pooled=Explained(row.pooled_explained, row.pooled_best, row.pooled_chance),
        maps=Explained(row.maps_explained, row.maps_best, row.maps_chance),
        created_at=row.created_at,
        job=row.job,
        items=items,
    )


def _share(value: float) -> float | None:
    return None if math.isnan(value) else value
