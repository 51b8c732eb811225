"""Search by sketch: the units nearest to a unit, in any model that was mined on the same probe set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest
from rosetta.results import SketchMatch
from service.database import sketches
from service.database.schema import layers, models, probe_sets, profiles, unit_statistics, units
from service.queries import names
from service.queries.comparisons import not_mined
from service.queries.matches import dead_unit

LARGEST_TOP = 1000


def near_unit(
    conn: sa.Connection,
    model: str,
    unit: UnitReference,
    *,
    neighbour: str | None = None,
    probe: str | None = None,
    top: int = 10,
) -> list[SketchMatch]:
    """The units of other models whose sketches are nearest to a unit's, nearest first.

    Args:
        conn: where to look; inside a transaction, for the search sets its width there.
        model: the unit's model.
        unit: the unit.
        neighbour: where to look: a model, a family or a nickname, searched exactly; None: everywhere, by the index.
        probe: the probe set; None: the one on which the model was last mined.
        top: how many.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or nothing was mined, with the command.
        InvalidRequest: when the unit is dead on that probe set, or `top` is out of range.
    """
    if not 1 <= top <= LARGEST_TOP:
        raise InvalidRequest(f"top must be between 1 and {LARGEST_TOP}, not {top}", top=top)
    others = None if neighbour is None else [other.id for other in names.resolve_models(conn, neighbour)]
    owner, row, probe_set = sketched_unit(conn, model, unit, probe, others)
    found = sketches.nearest(conn, probe_set.id, (owner.id, row.number), model_ids=others, top=top)
    where = places(conn, [(near.model_id, near.unit) for near in found])
    return [
        SketchMatch(
            probe_set=probe_set.name,
            model=owner.name,
            layer=row.layer,
            unit=row.number,
            channel=row.channel,
            neighbour_model=place.model,
            neighbour_layer=place.layer,
            neighbour_unit=near.unit,
            neighbour_channel=place.channel,
            similarity=near.similarity,
            rank=rank,
        )
        for rank, near in enumerate(found, start=1)
        if (place := where.get((near.model_id, near.unit)))
    ]


def sketched_unit(
    conn: sa.Connection, model: str, unit: UnitReference, probe: str | None, others: Sequence[int] | None = None
) -> tuple[sa.Row[Any], sa.Row[Any], sa.Row[Any]]:
    """The rows of a unit's model, of the unit and of the probe set; the unit has a sketch there.

    Args:
        conn: where to look.
        model: the unit's model.
        unit: the unit.
        probe: the probe set; None: the one on which the model was last mined.
        others: ids of the models that are looked in: then it is one where they were mined too, if there is any.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or nothing was mined, with the command.
        InvalidRequest: when the unit is dead on that probe set.
    """
    owner = names.model_row(conn, model)
    row = names.unit_row(conn, owner, unit)
    probe_set = probe_set_of(conn, owner, probe, others or ())
    dead = conn.scalar(
        sa.select(unit_statistics.c.dead).where(
            unit_statistics.c.probe_set_id == probe_set.id,
            unit_statistics.c.model_id == owner.id,
            unit_statistics.c.unit == row.number,
        )
    )
    if dead is None:
        raise not_mined(owner.name, None, probe_set.name)
    if dead:
        raise dead_unit(owner.name, row, probe_set.name)
    return owner, row, probe_set


def probe_set_of(conn: sa.Connection, model: sa.Row[Any], probe: str | None, others: Sequence[int] = ()) -> sa.Row[Any]:
    """The row of the probe set of that name, or of the one on which the model was last mined.

    Args:
        conn: where to look.
        model: its row.
        probe: a name.
        others: ids of models: without a name it is one where they were mined too, if there is any.

    Raises:
        NotFound: when there is none of that name, with the nearest ones; or the model was not mined.
    """
    if probe is not None:
        return names.probe_row(conn, probe)
    theirs = profiles.alias()
    shared = sa.select(sa.func.count()).where(
        theirs.c.probe_set_id == probe_sets.c.id, theirs.c.model_id.in_(others), theirs.c.model_id != model.id
    )
    newest = (
        sa.select(*probe_sets.c)
        .join(profiles, profiles.c.probe_set_id == probe_sets.c.id)
        .where(profiles.c.model_id == model.id)
        .order_by(shared.scalar_subquery().desc(), profiles.c.created_at.desc(), probe_sets.c.id.desc())
        .limit(1)
    )
    row = conn.execute(newest).one_or_none()
    if row is None:
        raise not_mined(model.name, None, None)
    return row


def places(conn: sa.Connection, found: list[tuple[int, int]]) -> dict[tuple[int, int], sa.Row[Any]]:
    """Model, layer and channel of units."""
    columns: tuple[sa.ColumnElement[Any], ...] = (
        units.c.model_id,
        units.c.number,
        models.c.name.label("model"),
        layers.c.name.label("layer"),
        units.c.channel,
    )
    statement = (
        sa.select(*columns)
        .join(layers, layers.c.id == units.c.layer_id)
        .join(models, models.c.id == units.c.model_id)
        .where(sa.tuple_(units.c.model_id, units.c.number).in_(found))
    )
    return {(row.model_id, row.number): row for row in conn.execute(statement)}
