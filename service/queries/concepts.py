"""Concepts: units of several models that belong together, by probe set and version."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa

from rosetta.errors import InvalidRequest, NotFound
from rosetta.results import Concept, ConceptMember, Page
from service.database.schema import (
    concept_members,
    concept_versions,
    concepts,
    layers,
    models,
    probe_sets,
)
from service.queries import names, pages

Order = Literal["models", "cohesion", "stability", "units"]

_MODELS = (
    sa.select(sa.func.array_agg(sa.distinct(models.c.name)))
    .select_from(concept_members.join(models))
    .where(concept_members.c.concept_id == concepts.c.id)
    .scalar_subquery()
)
_COLUMNS = (
    concepts.c.id,
    probe_sets.c.name.label("probe_set"),
    concept_versions.c.version,
    _MODELS.label("model_names"),
    concepts.c.units,
    concepts.c.cohesion,
    concepts.c.stability,
    concepts.c.q_value,
    concepts.c.models,
)
_FROM = concepts.join(concept_versions).join(probe_sets)


def list_concepts(
    conn: sa.Connection,
    *,
    probe: str | None = None,
    version: int | None = None,
    min_models: int = 2,
    model: str | None = None,
    order: Order = "models",
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Concept]:
    """Concepts without their members, the largest first.

    Args:
        conn: where to look.
        probe: the probe set; None: all of them.
        version: of the probe set's concepts; None: the newest.
        min_models: models a concept spans at least.
        model: only concepts with a unit of this model, family or nickname.
        order: by how many models, then cohesion; or by cohesion, stability or units alone.
        limit: concepts a page.
        cursor: of the page before.

    Raises:
        NotFound: when there is no such probe set, version or model.
        InvalidRequest: when a number is none, or a version is asked for without its probe set.
    """
    statement = sa.select(*_COLUMNS).select_from(_FROM).where(concepts.c.models >= min_models)
    statement = statement.where(concept_versions.c.id.in_(_versions(conn, probe, version)))
    if model is not None:
        wanted = [row.id for row in names.resolve_models(conn, model)]
        has = sa.select(concept_members.c.concept_id).where(concept_members.c.model_id.in_(wanted))
        statement = statement.where(concepts.c.id.in_(has))
    key = {
        "models": (-concepts.c.models, -sa.cast(concepts.c.cohesion * 10**6, sa.Integer), concepts.c.id),
        "cohesion": (-sa.cast(concepts.c.cohesion * 10**6, sa.Integer), concepts.c.id),
        "stability": (-sa.cast(concepts.c.stability * 10**6, sa.Integer), concepts.c.id),
        "units": (-concepts.c.units, concepts.c.id),
    }[order]
    if cursor is not None:
        after = pages.decode_cursor(cursor, *[int] * len(key))
        statement = statement.where(sa.tuple_(*key) > sa.tuple_(*map(sa.literal, after)))
    statement = statement.add_columns(*(part.label(f"key{place}") for place, part in enumerate(key)))
    rows = conn.execute(statement.order_by(*key).limit(pages.check_limit(limit) + 1)).all()
    return pages.paged(rows, limit, key=lambda row: tuple(row[-len(key) :]), item=_concept)


def _versions(conn: sa.Connection, probe: str | None, version: int | None) -> sa.Select[tuple[int]] | list[int]:
    """Which versions: one, or the newest of each probe set."""
    columns = concept_versions.c
    if probe is None:
        if version is not None:
            raise InvalidRequest("a version is one of a probe set's: name the probe set too", version=version)
        return sa.select(sa.func.max(columns.id)).group_by(columns.probe_set_id)
    row = names.probe_row(conn, probe)
    statement = sa.select(columns.id, columns.version).where(columns.probe_set_id == row.id)
    known = {found.version: found.id for found in conn.execute(statement)}
    if not known:
        raise NotFound(
            f"no concepts were looked for on probe set '{probe}' yet: `rosetta concepts find --probe {probe}` does",
            probe=probe,
        )
    wanted = max(known) if version is None else version
    if wanted not in known:
        raise NotFound(f"the concepts of '{probe}' have versions 1 to {max(known)}, not {wanted}", version=wanted)
    return [known[wanted]]


def get_concept(conn: sa.Connection, concept_id: int) -> Concept:
    """One concept with its members, by model and strength.

    Raises:
        NotFound: when there is none of that number.
    """
    statement = sa.select(*_COLUMNS).select_from(_FROM).where(concepts.c.id == concept_id)
    row = conn.execute(statement).one_or_none() if abs(concept_id) < 2**31 else None
    if row is None:
        raise NotFound(f"no concept {concept_id}: `rosetta concepts list` shows those there are", concept=concept_id)
    members = conn.execute(
        sa.select(
            models.c.name,
            layers.c.name,
            concept_members.c.unit,
            concept_members.c.unit - layers.c.first_unit,
            concept_members.c.strength,
        )
        .select_from(concept_members.join(models))
        .join(
            layers,
            sa.and_(
                layers.c.model_id == models.c.id,
                concept_members.c.unit.between(layers.c.first_unit, layers.c.first_unit + layers.c.channels - 1),
            ),
        )
        .where(concept_members.c.concept_id == concept_id)
        .order_by(models.c.name, concept_members.c.strength.desc(), concept_members.c.unit)
    )
    return _concept(row, tuple(ConceptMember(*member) for member in members))


def _concept(row: Any, members: tuple[ConceptMember, ...] = ()) -> Concept:
    return Concept(
        id=row.id,
        probe_set=row.probe_set,
        version=row.version,
        models=tuple(sorted(row.model_names or ())),
        units=row.units,
        cohesion=row.cohesion,
        stability=row.stability,
        q_value=row.q_value,
        members=members,
    )
