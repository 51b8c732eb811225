"""Approximate matches: in each model the units whose sketches are nearest to a unit's, before anything is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest, NotFound
from rosetta.results import Match, Page
from service.database import sketches
from service.database.schema import models, profiles
from service.queries import names, pages
from service.queries.matches import DEFAULT_TOP, dead_unit, with_itself
from service.queries.search import LARGEST_TOP, places, sketched_unit


def find_approximate(
    conn: sa.Connection,
    model: str,
    unit: UnitReference,
    *,
    neighbour: str | None = None,
    probe: str | None = None,
    top: int | None = None,
    limit: int = pages.LARGEST_LIMIT,
    cursor: str | None = None,
) -> Page[Match]:
    """As `find_matches`, estimated: the correlation is the cosine of two sketches, and ranks are by it.

    What only an exact comparison tells, the rank back and q, is None. Whoever has sketches is found, by an exact scan.

    Args:
        conn: where to look.
        model: the unit's model.
        unit: the unit.
        neighbour: where to look: a model, a family or a nickname; None: every model with sketches.
        probe: the probe set; None: the one on which the model was last mined.
        top: how many a model; None: 10.
        limit: matches a page.
        cursor: of the page before.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or there are no sketches, with the command.
        InvalidRequest: when the unit is dead on that probe set, or `top`, the limit or the cursor is none.
    """
    pages.check_limit(limit)
    after = ("", 0) if cursor is None else pages.decode_cursor(cursor, str, int)
    target = Target.resolve(conn, model, unit, neighbour, probe)
    rows: list[Match] = []
    for other in target.others:
        if len(rows) > limit:
            break
        if (other.name, LARGEST_TOP) > after:
            found = target.matches(conn, other, DEFAULT_TOP if top is None else top)
            rows += [row for row in found if (row.neighbour_model, row.rank) > after]
    return pages.paged(rows, limit, key=lambda row: (row.neighbour_model, row.rank), item=lambda row: row)


@dataclass(frozen=True)
class Target:
    """A unit with a sketch and the models to look in, looked up.

    Attributes:
        model: its row.
        unit: as of `names.unit_row`.
        probe_set: its row.
        others: rows of the models with sketches there, by name; at least one.
    """

    model: sa.Row[Any]
    unit: sa.Row[Any]
    probe_set: sa.Row[Any]
    others: Sequence[sa.Row[Any]]

    @classmethod
    def resolve(
        cls, conn: sa.Connection, model: str, unit: UnitReference, neighbour: str | None, probe: str | None
    ) -> Target:
        """Looks the names up.

        Raises:
            NotFound: when one of them is unknown, or the unit's model or all of the others have no sketches.
            InvalidRequest: when the unit is dead, or its model is to be compared with itself.
        """
        named = None if neighbour is None else names.resolve_models(conn, neighbour)
        return cls._of(conn, model, unit, named, probe)

    @classmethod
    def among(
        cls, conn: sa.Connection, model: str, unit: UnitReference, others: Sequence[str], probe: str | None
    ) -> Target:
        """Looks the names up; those of the others are whole, and each of these has sketches.

        Raises:
            NotFound: when one of them is unknown, or the unit's model or one of the others has no sketches.
            InvalidRequest: when the unit is dead, or its model is to be compared with itself.
        """
        named = [names.model_row(conn, other) for other in others]
        target = cls._of(conn, model, unit, named, probe)
        if model in others:
            raise with_itself(model)
        if missing := {other.name for other in named} - {other.name for other in target.others}:
            raise _no_sketches(sorted(missing), target.probe_set)
        return target

    @classmethod
    def _of(
        cls,
        conn: sa.Connection,
        model: str,
        unit: UnitReference,
        named: Sequence[sa.Row[Any]] | None,
        probe: str | None,
    ) -> Target:
        ids = None if named is None else [other.id for other in named]
        owner, row, probe_set = sketched_unit(conn, model, unit, probe, ids)
        sketched = sa.select(models).join(profiles, profiles.c.model_id == models.c.id)
        sketched = sketched.where(profiles.c.probe_set_id == probe_set.id, models.c.id != owner.id)
        asked = [] if named is None else sorted(other.name for other in named if other.id != owner.id)
        if named is not None:
            if not asked:
                raise with_itself(model)
            sketched = sketched.where(models.c.name.in_(asked))
        others = sorted(conn.execute(sketched).all(), key=lambda other: str(other.name))
        if not others:
            raise _no_sketches(asked, probe_set)
        return cls(owner, row, probe_set, others)

    def nearest(self, conn: sa.Connection, other: sa.Row[Any], top: int) -> list[sketches.Neighbour]:
        """The units of one of the models whose sketches are nearest, nearest first.

        Raises:
            InvalidRequest: when `top` is out of range.
        """
        if not 1 <= top <= LARGEST_TOP:
            raise InvalidRequest(f"top must be between 1 and {LARGEST_TOP}, not {top}", top=top)
        query = (self.model.id, self.unit.number)
        return sketches.nearest(conn, self.probe_set.id, query, model_ids=[other.id], top=top)

    def estimates(self, conn: sa.Connection, units: Sequence[tuple[str, UnitReference]]) -> list[sketches.Neighbour]:
        """Units of these models, each once, and how near their sketches are; in the order of `others` and of numbers.

        Raises:
            NotFound: when a model has no such unit, naming what it has.
            InvalidRequest: when a unit is dead.
        """
        rows = {other.name: other for other in self.others}
        found = {}
        for name, reference in units:
            row = names.unit_row(conn, rows[name], reference)
            found[rows[name].id, row.number] = (name, row)
        near = sketches.similarities(conn, self.probe_set.id, (self.model.id, self.unit.number), list(found))
        for key, (name, row) in found.items():
            if key not in near:
                raise dead_unit(name, row, self.probe_set.name)
        order = {other.id: place for place, other in enumerate(self.others)}
        keys = sorted(found, key=lambda key: (order[key[0]], key[1]))
        return [sketches.Neighbour(*key, near[key]) for key in keys]

    def matches(self, conn: sa.Connection, other: sa.Row[Any], top: int) -> list[Match]:
        """The same as matches."""
        found = self.nearest(conn, other, top)
        where = places(conn, [(near.model_id, near.unit) for near in found])
        return [
            Match(
                probe_set=self.probe_set.name,
                model=self.model.name,
                layer=self.unit.layer,
                unit=self.unit.number,
                channel=self.unit.channel,
                neighbour_model=place.model,
                neighbour_layer=place.layer,
                neighbour_unit=near.unit,
                neighbour_channel=place.channel,
                correlation=near.similarity,
                rank=rank,
                reciprocal_rank=None,
                q_value=None,
                is_best_buddy=False,
                approximate=True,
            )
            for rank, near in enumerate(found, start=1)
            if (place := where.get((near.model_id, near.unit)))
        ]


def _no_sketches(without: Sequence[str], probe_set: sa.Row[Any]) -> NotFound:
    """The error that these models, or all but the asked one, have no sketches; with the command that takes them."""
    chosen = f" --models {','.join(without)}" if without else ""
    who = f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no sketches"
    return NotFound(
        f"{who if without else 'no other model has sketches'} on probe set {probe_set.name} yet: "
        f"`rosetta mine --probe {probe_set.name}{chosen} --sketch-only`",
        models=list(without),
        probe_set=probe_set.name,
    )
