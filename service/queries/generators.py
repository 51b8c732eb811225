"""Generators as steering sees them: which one is meant, on what it was mined, and who looks at its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from service.database.schema import comparisons, models, probe_sets
from service.queries import names
from service.queries.comparisons import not_mined


def one_generator(conn: sa.Connection, mention: str) -> sa.Row[Any]:
    """The row of the one generator that a name or nickname stands for.

    Raises:
        NotFound: when it fits no model, with the nearest names.
        InvalidRequest: when it fits no generator, or several.
    """
    rows = names.resolve_models(conn, mention)
    makers = [row for row in rows if row.is_generator]
    if not makers:
        raise InvalidRequest(f"{rows[0].name} makes no images: name a generator", model=rows[0].name)
    if len(makers) > 1:
        fitting = [row.name for row in makers]
        raise InvalidRequest(f"'{mention}' stands for {len(makers)} generators ({', '.join(fitting)}): name one")
    return makers[0]


def mined_probe_set(conn: sa.Connection, generator: sa.Row[Any], probe: str | None) -> sa.Row[Any]:
    """The row of the probe set that is named, or of the one on which the generator was compared last.

    Raises:
        NotFound: when there is none, with the mine that would make one.
    """
    if probe is not None:
        return names.probe_row(conn, probe)
    newest = (
        sa.select(*probe_sets.c)
        .join(comparisons, comparisons.c.probe_set_id == probe_sets.c.id)
        .where(comparisons.c.model_id == generator.id)
        .order_by(comparisons.c.created_at.desc(), comparisons.c.id.desc())
        .limit(1)
    )
    row = conn.execute(newest).one_or_none()
    if row is None:
        raise not_mined(generator.name, "MODEL", None)
    return row


def compared_models(
    conn: sa.Connection, generator: sa.Row[Any], probe_set: sa.Row[Any], mentions: Sequence[str] | None
) -> list[sa.Row[Any]]:
    """The models whose eyes are borrowed: those that are named, or all that were compared with the generator there.

    Args:
        conn: where to look.
        generator: its row.
        probe_set: its row.
        mentions: names, families or nicknames; None: all that were compared, and look at images.

    Returns:
        Their rows, by id.

    Raises:
        NotFound: when a name is unknown, or nothing was compared, with the mine that would.
        InvalidRequest: when one looks at no images, or none is named.
    """
    sees = ~models.c.is_generator & models.c.recorded_on.is_(None)
    if mentions is None:
        compared = sa.select(comparisons.c.neighbour_model_id).where(
            comparisons.c.probe_set_id == probe_set.id, comparisons.c.model_id == generator.id
        )
        rows = conn.execute(sa.select(models).where(models.c.id.in_(compared), sees).order_by(models.c.id)).all()
        if not rows:
            raise not_mined(generator.name, "MODEL", probe_set.name)
        return list(rows)
    found: dict[int, sa.Row[Any]] = {}
    for mention in mentions:
        for row in names.resolve_models(conn, mention):
            if row.is_generator or row.recorded_on is not None:
                raise InvalidRequest(f"{row.name} looks at no images: name a model that does", model=row.name)
            found[row.id] = row
    if not found:
        raise InvalidRequest("name one model or more whose eyes to borrow, or leave them out to take all")
    return [found[key] for key in sorted(found)]
