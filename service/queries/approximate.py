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
from service.queries.matches import DEFAULT_TOP, with_itself
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
        owner, row, probe_set = sketched_unit(conn, model, unit, probe)
        sketched = sa.select(models).join(profiles, profiles.c.model_id == models.c.id)
        sketched = sketched.where(profiles.c.probe_set_id == probe_set.id, models.c.id != owner.id)
        if neighbour is None:
            mend = f"rosetta mine --probe {probe_set.name} --sketch-only"
            missing = "no other model has sketches"
        else:
            named = names.resolve_models(conn, neighbour)
            asked = sorted(other.name for other in named if other.id != owner.id)
            if not asked:
                raise with_itself(model)
            sketched = sketched.where(models.c.name.in_(asked))
            mend = f"rosetta mine --probe {probe_set.name} --models {','.join(asked)} --sketch-only"
            missing = f"{', '.join(asked)} {'has' if len(asked) == 1 else 'have'} no sketches"
        others = sorted(conn.execute(sketched).all(), key=lambda other: str(other.name))
        if not others:
            raise NotFound(
                f"{missing} on probe set {probe_set.name} yet: `{mend}`", model=model, probe_set=probe_set.name
            )
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
