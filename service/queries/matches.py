"""Matches: a unit's nearest neighbours in other models, and the best buddies of two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from shlex import quote
from typing import Any

import sqlalchemy as sa

from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest
from rosetta.results import Match, Page
from service.database.schema import comparisons, probe_sets, unit_statistics
from service.queries import names, pages
from service.queries.comparisons import can_estimate, not_mined

# The hot path is this one statement: names in, rows out, in the order of the fields of `Match`. A channel
# follows from its layer's first unit, so no row of `units` is read.
_MATCHES = """
SELECT p.name AS probe_set, m.name AS model, l.name, t.unit, t.unit - l.first_unit,
       nm.name AS neighbour_model, nl.name, t.neighbour, t.neighbour - nl.first_unit,
       t.correlation, t.rank, nullif(t.reciprocal_rank, 0), nullif(t.q_value, 'NaN'),
       t.rank = 1 AND t.reciprocal_rank = 1, c.keep
FROM models m
JOIN layers l ON l.model_id = m.id AND {unit}
JOIN comparisons c ON c.model_id = m.id
JOIN probe_sets p ON p.id = c.probe_set_id
JOIN models nm ON nm.id = c.neighbour_model_id
JOIN matches t ON t.comparison_id = c.id AND t.unit = {number} AND t.rank <= :top
JOIN layers nl ON nl.model_id = nm.id
    AND t.neighbour BETWEEN nl.first_unit AND nl.first_unit + nl.channels - 1
WHERE m.name = :model {filters}
ORDER BY nm.name, t.rank
LIMIT :limit
"""
_BY_NUMBER = (":number BETWEEN l.first_unit AND l.first_unit + l.channels - 1", ":number")
_BY_CHANNEL = ("l.name = :layer AND :channel < l.channels", "l.first_unit + :channel")
_NEIGHBOURS = {
    "name": "AND {nm}.name = :neighbour",
    "ids": "AND {nm}.id = ANY(:neighbours)",
    "any": "",
}
_ON_PROBE = "AND p.name = :probe"
# Without a probe set, the one on which the model was last compared with what the question names.
_LATEST = """
AND c.probe_set_id = (
    SELECT c2.probe_set_id FROM comparisons c2 JOIN models nm2 ON nm2.id = c2.neighbour_model_id
    WHERE c2.model_id = m.id {neighbour}
    ORDER BY c2.created_at DESC, c2.id DESC LIMIT 1
)
"""
DEFAULT_TOP = 10
_LARGEST_RANK = 2**15 - 1  # ranks are int2


def find_matches(
    conn: sa.Connection,
    model: str,
    unit: UnitReference,
    *,
    neighbour: str | None = None,
    probe: str | None = None,
    top: int | None = None,
    best_buddies: bool = False,
    limit: int = pages.LARGEST_LIMIT,
    cursor: str | None = None,
) -> Page[Match]:
    """The `top` best matches of a unit in each model, by the model's name and the rank.

    Args:
        conn: where to look.
        model: the unit's model.
        unit: the unit.
        neighbour: where to look: a model, a family or a nickname; None: every model it was mined with.
        probe: the probe set; None: the one on which these models were last mined. Every row says which.
        top: how many a model; None: 10, or the fewer that are kept.
        best_buddies: only matches of two units that are each other's best.
        limit: matches a page.
        cursor: of the page before.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or nothing was mined, with the command.
        InvalidRequest: when the unit is dead on that probe set, more matches are asked for than are kept, or
            the limit or the cursor is none.
    """
    if top is not None and top < 1:
        raise InvalidRequest(f"top must be 1 or more, not {top}", top=top)
    values: dict[str, Any] = {
        "model": model,
        "number": unit.number,
        "layer": unit.layer,
        "channel": unit.channel,
        "neighbour": neighbour,
        "probe": probe,
        "top": min(top or DEFAULT_TOP, _LARGEST_RANK),
        "limit": pages.check_limit(limit) + 1,
    }
    if cursor is not None:
        values["after_name"], values["after_rank"] = pages.decode_cursor(cursor, str, int)
    shape = (unit.number is not None, probe is not None, best_buddies, cursor is not None)
    rows = conn.execute(_statement("any" if neighbour is None else "name", *shape), values).all()
    if not rows:
        # Rare: a nickname, or nothing to show. Find out which, and say so.
        target = _Target.resolve(conn, model, unit, neighbour, probe)
        if neighbour is not None and target.neighbours != [neighbour]:
            values["neighbours"] = target.neighbour_ids
            rows = conn.execute(_statement("ids", *shape), values).all()
        if not rows and cursor is None:
            target.explain(conn)
    if top is not None:
        _check_kept(top, rows)
    return pages.paged(
        rows, limit, key=lambda row: (row.neighbour_model, row.rank), item=lambda row: Match(*tuple(row)[:-1])
    )


@cache
def _statement(neighbour: str, by_number: bool, on_probe: bool, best_buddies: bool, after: bool) -> sa.TextClause:
    """The statement of one shape of question; there are few, and each is prepared by the driver."""
    unit, number = _BY_NUMBER if by_number else _BY_CHANNEL
    chosen = _NEIGHBOURS[neighbour]
    filters = [
        chosen.format(nm="nm"),
        _ON_PROBE if on_probe else _LATEST.format(neighbour=chosen.format(nm="nm2")),
    ]
    if best_buddies:
        filters.append("AND t.rank = 1 AND t.reciprocal_rank = 1")
    if after:
        filters.append("AND (nm.name, t.rank) > (:after_name, :after_rank)")
    return sa.text(_MATCHES.format(unit=unit, number=number, filters=" ".join(filters)))


def _check_kept(top: int, rows: Sequence[sa.Row[Any]]) -> None:
    """Refuses a question for more matches than a comparison keeps: a short answer would look complete."""
    for row in rows:
        if top > row.keep:
            raise fewer_kept("top", top, row)


def fewer_kept(what: str, asked: int, row: sa.Row[Any]) -> InvalidRequest:
    """The error that a comparison keeps fewer matches than are asked for, with the command that keeps more.

    Args:
        what: the name of the number that is too large.
        asked: that number.
        row: has the comparison's `keep`, `model`, `neighbour_model` and `probe_set`.
    """
    return InvalidRequest(
        f"{what} {asked} is more than the {row.keep} matches kept of {row.model} and {row.neighbour_model};"
        f" keep more with `rosetta mine --probe {row.probe_set}"
        f" --models {row.model},{row.neighbour_model} --keep {asked}`",
        kept=row.keep,
        **{what: asked},
    )


@dataclass(frozen=True)
class _Target:
    """The names of a question, looked up."""

    model: sa.Row[Any]
    unit: sa.Row[Any]
    mention: str | None
    neighbours: list[str] | None
    neighbour_ids: list[int] | None
    probe_set_id: int | None
    probe: str | None

    @classmethod
    def resolve(
        cls, conn: sa.Connection, model: str, unit: UnitReference, neighbour: str | None, probe: str | None
    ) -> _Target:
        """Looks the names up.

        Raises:
            NotFound: when one of them is unknown, with the nearest ones.
            InvalidRequest: when the model is to be compared with itself.
        """
        owner = names.model_row(conn, model)
        others = None if neighbour is None else names.resolve_models(conn, neighbour)
        if others is not None and [row.id for row in others] == [owner.id]:
            raise with_itself(model)
        return cls(
            model=owner,
            unit=names.unit_row(conn, owner, unit),
            mention=neighbour,
            neighbours=None if others is None else [row.name for row in others],
            neighbour_ids=None if others is None else [row.id for row in others],
            probe_set_id=None if probe is None else names.probe_row(conn, probe).id,
            probe=probe,
        )

    def explain(self, conn: sa.Connection) -> None:
        """Says why there is no match; returns when there simply is none, as for a unit without a best buddy.

        Raises:
            NotFound: when nothing was mined; where there are sketches, it names the question that they answer.
            InvalidRequest: when the unit is dead.
        """
        mined = sa.select(comparisons.c.probe_set_id).where(comparisons.c.model_id == self.model.id)
        if self.neighbour_ids is not None:
            mined = mined.where(comparisons.c.neighbour_model_id.in_(self.neighbour_ids))
        if self.probe_set_id is not None:
            mined = mined.where(comparisons.c.probe_set_id == self.probe_set_id)
        newest = mined.order_by(comparisons.c.created_at.desc(), comparisons.c.id.desc()).limit(1)
        probe_set_id = conn.scalar(newest)
        if probe_set_id is None:
            neighbours = [name for name in self.neighbours or () if name != self.model.name]
            estimate = None
            if can_estimate(conn, self.model.id, self.neighbour_ids, self.probe_set_id):
                within = f" --in {quote(self.mention)}" if self.mention else ""
                on = f" --probe {self.probe}" if self.probe else ""
                estimate = f"rosetta match {self.model.name} {self.unit.number} --approximate{within}{on}"
            raise not_mined(self.model.name, ",".join(neighbours), self.probe, estimate=estimate)
        dead = sa.select(probe_sets.c.name).join(unit_statistics, unit_statistics.c.probe_set_id == probe_sets.c.id)
        probe = conn.scalar(
            dead.where(
                probe_sets.c.id == probe_set_id,
                unit_statistics.c.model_id == self.model.id,
                unit_statistics.c.unit == self.unit.number,
                unit_statistics.c.dead,
            )
        )
        if probe is not None:
            raise dead_unit(self.model.name, self.unit, probe)


def dead_unit(model: str, unit: sa.Row[Any], probe: str) -> InvalidRequest:
    """The error that a unit never changes on a probe set, so that nothing can match it."""
    return InvalidRequest(
        f"unit {unit.number} ({unit.layer}:{unit.channel}) of {model} is dead on probe set {probe}:"
        " it never changes, so nothing matches it",
        reason="dead",
        model=model,
        unit=unit.number,
        probe_set=probe,
    )


def with_itself(model: str) -> InvalidRequest:
    """The error that a model was to be compared with itself."""
    return InvalidRequest(f"{model} is not compared with itself: name another model", model=model)
