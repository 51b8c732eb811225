"""Units: list a model's, look at one and its statistics."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from rosetta.addresses import UnitReference, format_address
from rosetta.results import Page, Unit, UnitStatistics
from service.database.schema import layers, probe_sets, profiles, unit_statistics, units
from service.queries import names, pages


def get_unit(conn: sa.Connection, model: str, reference: UnitReference) -> Unit:
    """One unit, with its statistics on every probe set its model was mined on, newest first.

    Raises:
        NotFound: when there is no such model, or it has no such unit.
    """
    owner = names.model_row(conn, model)
    row = names.unit_row(conn, owner, reference)
    statistics = conn.execute(_statistics(owner.id, row.number)).all()
    return _unit(model, row, tuple(UnitStatistics(*values) for values in statistics))


def list_units(
    conn: sa.Connection,
    model: str,
    *,
    layer: str | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Unit]:
    """A model's units by number, without statistics; of one layer where it is named.

    Raises:
        NotFound: when there is no such model, or it has no such layer.
        InvalidRequest: when the limit or the cursor is none.
    """
    owner = names.model_row(conn, model)
    statement = (
        sa.select(*names.UNIT)
        .join(layers, layers.c.id == units.c.layer_id)
        .where(units.c.model_id == owner.id)
        .order_by(units.c.number)
        .limit(pages.check_limit(limit) + 1)
    )
    if layer is not None:
        # Channel 0 is there whenever the layer is; a wrong name is answered with the nearest ones.
        names.unit_row(conn, owner, UnitReference(layer=layer, channel=0))
        statement = statement.where(layers.c.name == layer)
    if cursor is not None:
        statement = statement.where(units.c.number > pages.decode_cursor(cursor, int)[0])
    rows = conn.execute(statement).all()
    return pages.paged(rows, limit, key=lambda row: (row.number,), item=lambda row: _unit(model, row))


def _statistics(model_id: int, number: int) -> sa.Select[Any]:
    columns: tuple[sa.ColumnElement[Any], ...] = (
        probe_sets.c.name,
        unit_statistics.c.mean,
        unit_statistics.c.std,
        unit_statistics.c.minimum,
        unit_statistics.c.maximum,
        unit_statistics.c.dead,
    )
    return (
        sa.select(*columns)
        .select_from(profiles)
        .join(probe_sets, probe_sets.c.id == profiles.c.probe_set_id)
        .join(
            unit_statistics,
            sa.and_(
                unit_statistics.c.probe_set_id == profiles.c.probe_set_id,
                unit_statistics.c.model_id == profiles.c.model_id,
            ),
        )
        .where(profiles.c.model_id == model_id, unit_statistics.c.unit == number)
        .order_by(probe_sets.c.created_at.desc())
    )


def _unit(model: str, row: sa.Row[Any], statistics: tuple[UnitStatistics, ...] = ()) -> Unit:
    return Unit(
        model=model,
        number=row.number,
        layer=row.layer,
        channel=row.channel,
        address=format_address(model, row.layer, row.channel),
        height=row.height,
        width=row.width,
        statistics=statistics,
    )
