"""Comparisons: how much two models share on a probe set."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from rosetta.errors import NotFound
from rosetta.results import ModelPair, Page
from service.database.schema import comparisons, models, probe_sets, profiles
from service.queries import names, pages

_model = models.alias("model")
_neighbour = models.alias("neighbour")
_profile = profiles.alias("profile")
_neighbour_profile = profiles.alias("neighbour_profile")


def list_pairs(
    conn: sa.Connection,
    *,
    model: str | None = None,
    neighbour: str | None = None,
    probe: str | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[ModelPair]:
    """The mined pairs of models, by probe set and names.

    Args:
        conn: where to look.
        model: one model; None: every pair, once.
        neighbour: what the model is paired with: a model, a family or a nickname.
        probe: one probe set; None: all of them.
        limit: pairs a page.
        cursor: of the page before.

    Raises:
        NotFound: when one of the names is unknown, with the nearest ones.
        InvalidRequest: when the limit or the cursor is none.
    """
    key = (probe_sets.c.name, _model.c.name, _neighbour.c.name)
    statement = _pairs().order_by(*key).limit(pages.check_limit(limit) + 1)
    if model is None:
        statement = statement.where(_model.c.name < _neighbour.c.name)
    else:
        statement = statement.where(_model.c.id == names.model_row(conn, model).id)
    if neighbour is not None:
        others = [row.id for row in names.resolve_models(conn, neighbour)]
        either = _neighbour.c.id.in_(others)
        statement = statement.where(sa.or_(either, _model.c.id.in_(others)) if model is None else either)
    if probe is not None:
        statement = statement.where(probe_sets.c.id == names.probe_row(conn, probe).id)
    if cursor is not None:
        after = pages.decode_cursor(cursor, str, str, str)
        statement = statement.where(sa.tuple_(*key) > sa.tuple_(*map(sa.literal, after)))
    rows = conn.execute(statement).all()
    return pages.paged(
        rows,
        limit,
        key=lambda row: (row.probe_set, row.model, row.neighbour_model),
        item=model_pair,
    )


def pairs_among(conn: sa.Connection, probe_set_id: int, among: Collection[str]) -> list[ModelPair]:
    """The mined pairs of these models on a probe set, once each.

    Args:
        conn: where to look.
        probe_set_id: the probe set.
        among: names of models.
    """
    wanted = _pairs().where(
        comparisons.c.probe_set_id == probe_set_id,
        _model.c.name.in_(among),
        _neighbour.c.name.in_(among),
        _model.c.name < _neighbour.c.name,
    )
    return [model_pair(row) for row in conn.execute(wanted.order_by(_model.c.name, _neighbour.c.name))]


def latest_pair(conn: sa.Connection, model_id: int, neighbour_id: int, probe_set_id: int | None) -> Any:
    """The newest comparison of two models, and its `id`; None when there is none.

    Args:
        conn: where to look.
        model_id: the model.
        neighbour_id: what it is compared with.
        probe_set_id: on one probe set; None: on any.

    Returns:
        A row of the columns of `ModelPair` and the comparison's `id`.
    """
    statement = _pairs().where(_model.c.id == model_id, _neighbour.c.id == neighbour_id)
    if probe_set_id is not None:
        statement = statement.where(comparisons.c.probe_set_id == probe_set_id)
    newest = statement.order_by(comparisons.c.created_at.desc(), comparisons.c.id.desc()).limit(1)
    return conn.execute(newest).one_or_none()


def model_pair(row: sa.Row[Any]) -> ModelPair:
    """The result that a row of `latest_pair` stands for."""
    return ModelPair(*tuple(row)[:-1])


def can_estimate(
    conn: sa.Connection, model_id: int, neighbour_ids: Sequence[int] | None, probe_set_id: int | None
) -> bool:
    """Whether a model and another have sketches on one probe set, whether they were compared or not.

    Args:
        conn: where to look.
        model_id: the model.
        neighbour_ids: the others; None: any.
        probe_set_id: the probe set; None: any.
    """
    there = (_profile.c.model_id == model_id) & (_neighbour_profile.c.model_id != model_id)
    if neighbour_ids is not None:
        there &= _neighbour_profile.c.model_id.in_(neighbour_ids)
    if probe_set_id is not None:
        there &= _profile.c.probe_set_id == probe_set_id
    both = _profile.join(_neighbour_profile, _profile.c.probe_set_id == _neighbour_profile.c.probe_set_id)
    return bool(conn.scalar(sa.select(sa.exists(sa.select(sa.literal(1)).select_from(both).where(there)))))


def not_mined(model: str, neighbour: str | None, probe: str | None, *, estimate: str | None = None) -> NotFound:
    """The error that nothing was mined of a model (and another), with the command that does.

    Args:
        model: its name.
        neighbour: the other's name, or several with commas.
        probe: where it should have been mined.
        estimate: the command that answers meanwhile, from sketches; None: there are none.
    """
    whom = f"{model} and {neighbour} were not compared" if neighbour else f"{model} was not mined"
    where = f" on probe set {probe}" if probe else " on any probe set"
    chosen = f"{model},{neighbour}" if neighbour else model
    command = f"rosetta mine --probe {probe or 'PROBE'} --models {chosen}"
    meanwhile = f"; `{estimate}` estimates from sketches" if estimate else ""
    return NotFound(f"{whom}{where} yet: `{command}`{meanwhile}", model=model, neighbour=neighbour, probe_set=probe)


def _pairs() -> sa.Select[Any]:
    """Comparisons as the columns of `ModelPair`, then their `id`."""
    columns: tuple[sa.ColumnElement[Any], ...] = (
        probe_sets.c.name.label("probe_set"),
        _model.c.name.label("model"),
        _neighbour.c.name.label("neighbour_model"),
        comparisons.c.best_buddies,
        comparisons.c.significant_best_buddies,
        sa.func.nullif(comparisons.c.chance_best_buddies, sa.literal(float("nan"))).label("chance_best_buddies"),
        (_model.c.units - _profile.c.dead_units).label("live_units"),
        (_neighbour.c.units - _neighbour_profile.c.dead_units).label("neighbour_live_units"),
        comparisons.c.id,
    )
    statement = sa.select(*columns).select_from(comparisons)
    statement = statement.join(probe_sets, probe_sets.c.id == comparisons.c.probe_set_id)
    for side, profile, column in (
        (_model, _profile, comparisons.c.model_id),
        (_neighbour, _neighbour_profile, comparisons.c.neighbour_model_id),
    ):
        statement = statement.join(side, side.c.id == column).join(
            profile,
            sa.and_(profile.c.probe_set_id == comparisons.c.probe_set_id, profile.c.model_id == column),
        )
    return statement
