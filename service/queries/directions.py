"""Directions of generators' latents, and what moves along them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from rosetta.directions import Direction, DirectionSet, Movement
from rosetta.errors import NotFound
from rosetta.results import Page
from service.database.schema import direction_movements, directions, layers, models, probe_sets, units
from service.queries import names, pages

_COLUMNS = (
    directions.c.id,
    models.c.name.label("generator"),
    probe_sets.c.name.label("probe_set"),
    directions.c.space,
    directions.c.layer,
    directions.c.class_index,
    directions.c.samples,
    directions.c.seed,
    sa.func.cardinality(directions.c.shares).label("axes"),
    directions.c.latents,
    directions.c.controls,
    directions.c.created_at,
    directions.c.job_id.label("job"),
)
_FROM = directions.join(models, models.c.id == directions.c.generator_id).outerjoin(probe_sets)


def list_directions(
    conn: sa.Connection,
    *,
    generator: str | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[DirectionSet]:
    """Directions without their axes, newest first.

    Args:
        conn: where to look.
        generator: a model, a family or a nickname; None: any.
        limit: sets of directions a page.
        cursor: of the page before.

    Raises:
        NotFound: when there is no such model.
        InvalidRequest: when the limit or the cursor is none.
    """
    statement = sa.select(*_COLUMNS).select_from(_FROM)
    if generator is not None:
        statement = statement.where(models.c.id.in_([row.id for row in names.resolve_models(conn, generator)]))
    if cursor is not None:
        statement = statement.where(directions.c.id < pages.decode_cursor(cursor, int)[0])
    rows = conn.execute(statement.order_by(directions.c.id.desc()).limit(pages.check_limit(limit) + 1)).all()
    return pages.paged(rows, limit, key=lambda row: (row.id,), item=lambda row: DirectionSet(**row._mapping))


def get_directions(conn: sa.Connection, directions_id: int) -> DirectionSet:
    """Directions with their axes, and with what moves along each, by how surely.

    Raises:
        NotFound: when there are none of that number.
    """
    found = directions_row(conn, directions_id)
    about = conn.execute(sa.select(*_COLUMNS).select_from(_FROM).where(directions.c.id == directions_id)).one()
    moving = _movements(conn, directions_id)
    items = tuple(
        Direction(axis, share, deviation, tuple(moving[axis]))
        for axis, (share, deviation) in enumerate(zip(found.shares, found.deviations, strict=True))
    )
    return DirectionSet(**about._mapping, items=items)


def directions_row(conn: sa.Connection, directions_id: int) -> sa.Row[Any]:
    """The row of some directions.

    Raises:
        NotFound: when there are none of that number.
    """
    statement = sa.select(directions).where(directions.c.id == directions_id)
    row = conn.execute(statement).one_or_none() if 0 <= directions_id < 2**31 else None
    if row is None:
        raise NotFound(
            f"no directions {directions_id}: `rosetta directions list` shows those there are, `rosetta directions "
            "find GENERATOR` finds some",
            directions=directions_id,
        )
    return row


def remove_directions(conn: sa.Connection, directions_id: int) -> None:
    """Removes directions, with what moves along them.

    Raises:
        NotFound: when there are none of that number.
    """
    directions_row(conn, directions_id)
    conn.execute(sa.delete(directions).where(directions.c.id == directions_id))


def _movements(conn: sa.Connection, directions_id: int) -> defaultdict[int, list[Movement]]:
    """By axis: what moves, the surest first."""
    columns = direction_movements.c
    rows = conn.execute(
        sa.select(
            columns.axis,
            models.c.name,
            layers.c.name,
            columns.unit,
            units.c.channel,
            columns.concept_id,
            columns.change,
            columns.z,
            columns.q_value,
        )
        .select_from(direction_movements.join(models, models.c.id == columns.model_id))
        .outerjoin(units, sa.and_(units.c.model_id == columns.model_id, units.c.number == columns.unit))
        .outerjoin(layers, layers.c.id == units.c.layer_id)
        .where(columns.directions_id == directions_id)
        .order_by(columns.axis, sa.func.abs(columns.z).desc(), columns.model_id, columns.unit, columns.concept_id)
    )
    found: defaultdict[int, list[Movement]] = defaultdict(list)
    for axis, *values in rows:
        found[axis].append(Movement(*values))
    return found
