"""Models: list, look at, remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from rosetta.errors import Conflict
from rosetta.results import Layer, Model, Page
from service.database.schema import jobs, layers, models, probe_sets
from service.queries import names, pages


def list_models(
    conn: sa.Connection,
    *,
    family: str | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Model]:
    """The models by name, without their layers; of one family where it is named.

    Raises:
        InvalidRequest: when the limit or the cursor is none.
    """
    statement = sa.select(models).order_by(models.c.name).limit(pages.check_limit(limit) + 1)
    if family is not None:
        statement = statement.where(models.c.family == family)
    if cursor is not None:
        statement = statement.where(models.c.name > pages.decode_cursor(cursor, str)[0])
    rows = conn.execute(statement).all()
    return pages.paged(rows, limit, key=lambda row: (row.name,), item=_model)


def list_families(conn: sa.Connection) -> list[str]:
    """The families that there are models of, by name."""
    return list(conn.scalars(sa.select(models.c.family).distinct().order_by(models.c.family)))


def get_model(conn: sa.Connection, name: str) -> Model:
    """One model and its layers, in forward order.

    Raises:
        NotFound: when there is none of that name.
    """
    row = names.model_row(conn, name)
    statement = sa.select(
        layers.c.name,
        layers.c.position,
        layers.c.channels,
        layers.c.height,
        layers.c.width,
        layers.c.first_unit,
    ).where(layers.c.model_id == row.id)
    found = conn.execute(statement.order_by(layers.c.position)).all()
    return _model(row, tuple(Layer(*layer) for layer in found))


def remove_model(conn: sa.Connection, name: str) -> None:
    """Deletes a model and all that was mined of it.

    Raises:
        NotFound: when there is none of that name.
        Conflict: when a probe set consists of its images, or a job is at work on it.
    """
    row = names.model_row(conn, name)
    # From here on nothing new can refer to the model until this transaction ends.
    conn.execute(sa.select(models.c.id).where(models.c.id == row.id).with_for_update())
    generated = conn.scalars(
        sa.select(probe_sets.c.name).where(probe_sets.c.generator_id == row.id).order_by(probe_sets.c.name)
    ).all()
    if generated:
        raise Conflict(
            f"{name} generates probe set {', '.join(generated)}:"
            f" remove that first with `rosetta probes remove {generated[0]}`",
            name=name,
            probe_sets=list(generated),
        )
    working = conn.scalar(_unfinished(name))
    if working is not None:
        raise Conflict(
            f"job {working} is at work on {name}: wait for it, or stop it with `rosetta jobs cancel {working}`",
            name=name,
            job=working,
        )
    conn.execute(sa.delete(models).where(models.c.id == row.id))


def _unfinished(name: str) -> sa.Select[tuple[int]]:
    """The first unfinished job that registers or mines the model."""
    return (
        sa.select(jobs.c.id)
        .where(
            jobs.c.state.in_(("queued", "running")),
            sa.or_(
                jobs.c.parameters["name"].astext == name,
                jobs.c.parameters["models"].op("?")(name),
            ),
        )
        .order_by(jobs.c.id)
        .limit(1)
    )


def _model(row: sa.Row[Any], found: Sequence[Layer] = ()) -> Model:
    return Model(
        name=row.name,
        family=row.family,
        aliases=tuple(row.aliases),
        source=row.source,
        weights_digest=row.weights_digest,
        is_generator=row.is_generator,
        units=row.units,
        created_at=row.created_at,
        details=row.details,
        layers=tuple(found),
    )
