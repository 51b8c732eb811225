"""Effects: what changes of a generator's units caused in the units of other models that they match."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from rosetta.addresses import parse_address
from rosetta.interventions import Action, Effect
from rosetta.results import Page
from service.database.schema import effects, interventions, layers, models, probe_sets, unit_effects, units
from service.queries import names, pages

_generator, _neighbour = models.alias("generator"), models.alias("neighbour_model")
_own, _other = units.alias("own"), units.alias("other")
_own_layer, _other_layer = layers.alias("own_layer"), layers.alias("other_layer")
_COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    probe_sets.c.name.label("probe_set"),
    _generator.c.name.label("generator"),
    _own_layer.c.name.label("layer"),
    effects.c.unit,
    _own.c.channel,
    _neighbour.c.name.label("neighbour_model"),
    _other_layer.c.name.label("neighbour_layer"),
    effects.c.neighbour.label("neighbour_unit"),
    _other.c.channel.label("neighbour_channel"),
    interventions.c.action,
    interventions.c.amount,
    interventions.c.box,
    *(
        effects.c[name]
        for name in (
            "correlation",
            "effect",
            "control_effect",
            "response",
            "z",
            "q_value",
            "mean_change",
            "size",
            "control_size",
        )
    ),
    *(unit_effects.c[name] for name in ("inside", "outside", "control_inside", "control_outside", "controls")),
    interventions.c.latents,
    interventions.c.created_at,
    interventions.c.job_id.label("job"),
)
_FROM = (
    interventions.join(unit_effects, unit_effects.c.intervention_id == interventions.c.id)
    .join(
        effects,
        sa.and_(effects.c.intervention_id == interventions.c.id, effects.c.unit == unit_effects.c.unit),
    )
    .join(probe_sets, probe_sets.c.id == interventions.c.probe_set_id)
    .join(_generator, _generator.c.id == interventions.c.generator_id)
    .join(_neighbour, _neighbour.c.id == interventions.c.neighbour_model_id)
    .join(_own, sa.and_(_own.c.model_id == interventions.c.generator_id, _own.c.number == effects.c.unit))
    .join(_own_layer, _own_layer.c.id == _own.c.layer_id)
    .join(
        _other, sa.and_(_other.c.model_id == interventions.c.neighbour_model_id, _other.c.number == effects.c.neighbour)
    )
    .join(_other_layer, _other_layer.c.id == _other.c.layer_id)
)
# The strongest responses first; those that could not be measured last.
_ORDER = (
    -sa.cast(sa.func.coalesce(sa.func.abs(effects.c.response), -1) * 10**6, sa.Integer),
    interventions.c.id,
    effects.c.unit,
    effects.c.neighbour,
)


def list_effects(
    conn: sa.Connection,
    *,
    model: str | None = None,
    unit: str | None = None,
    probe: str | None = None,
    action: Action | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Effect]:
    """Effects, the strongest response first.

    Args:
        conn: where to look.
        model: of this generator, or on this model: a name, a family or a nickname; None: any.
        unit: the address of a unit that was changed, or watched; None: any.
        probe: the probe set on which the matches were mined; None: any.
        action: of one kind; None: of all.
        limit: effects a page.
        cursor: of the page before.

    Raises:
        NotFound: when a name is unknown, with the nearest ones.
        InvalidRequest: when the limit or the cursor is none, or the address is no unit's.
    """
    statement = sa.select(*_COLUMNS, *(part.label(f"key{place}") for place, part in enumerate(_ORDER)))
    statement = statement.select_from(_FROM)
    if model is not None:
        wanted = [row.id for row in names.resolve_models(conn, model)]
        sides = interventions.c.generator_id.in_(wanted), interventions.c.neighbour_model_id.in_(wanted)
        statement = statement.where(sa.or_(*sides))
    if unit is not None:
        statement = statement.where(_of_unit(conn, unit))
    if probe is not None:
        statement = statement.where(probe_sets.c.id == names.probe_row(conn, probe).id)
    if action is not None:
        statement = statement.where(interventions.c.action == action)
    if cursor is not None:
        after = pages.decode_cursor(cursor, int, int, int, int)
        statement = statement.where(sa.tuple_(*_ORDER) > sa.tuple_(*map(sa.literal, after)))
    rows = conn.execute(statement.order_by(*_ORDER).limit(pages.check_limit(limit) + 1)).all()
    return pages.paged(rows, limit, key=lambda row: tuple(row[-len(_ORDER) :]), item=_effect)


def _of_unit(conn: sa.Connection, address: str) -> sa.ColumnElement[bool]:
    """That the unit was changed, or watched."""
    name, reference = parse_address(address)
    owner = names.model_row(conn, name)
    number = names.unit_row(conn, owner, reference).number
    return sa.or_(
        sa.and_(interventions.c.generator_id == owner.id, effects.c.unit == number),
        sa.and_(interventions.c.neighbour_model_id == owner.id, effects.c.neighbour == number),
    )


def _effect(row: Any) -> Effect:
    values = dict(zip([column.key for column in _COLUMNS], row, strict=False))
    return Effect(**values | {"box": None if row.box is None else tuple(row.box)})
