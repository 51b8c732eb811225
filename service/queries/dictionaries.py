"""Rosetta dictionaries: tuples of units, one a model, that are best buddies of a generator's unit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from rosetta.results import Dictionary, DictionaryTuple, DictionaryUnit
from service.database.schema import comparisons, layers, models, probe_sets
from service.queries import names, tuples
from service.queries.comparisons import not_mined
from service.queries.matches import fewer_kept, with_itself
from service.queries.tuples import Buddy, Choices, Tuple

DEFAULT_LIMIT = 1_000
LARGEST_LIMIT = 10_000
Q_VALUE = 0.05

# The rank back says where the other direction's row is, whose q counts as well. NaN is greater than any number.
_BUDDIES = """
SELECT t.unit, t.neighbour, t.correlation, greatest(t.q_value, s.q_value)
FROM matches t
JOIN matches s ON s.comparison_id = :back AND s.unit = t.neighbour AND s.rank = t.reciprocal_rank
WHERE t.comparison_id = :there AND t.rank <= :k AND t.reciprocal_rank BETWEEN 1 AND :k {filters}
ORDER BY t.unit, t.correlation DESC, t.neighbour
"""
_BELOW = "AND greatest(t.q_value, s.q_value) < :q_value"
_OF_UNITS = "AND t.unit = ANY(:units)"

# By the numbers of the model and of the neighbour.
Compared = Mapping[tuple[int, int], sa.Row[Any]]


def find_dictionary(
    conn: sa.Connection,
    generator: str,
    others: Sequence[str],
    *,
    probe: str | None = None,
    k: int = 1,
    strict: bool = False,
    q_value: float | None = Q_VALUE,
    limit: int = DEFAULT_LIMIT,
) -> Dictionary:
    """All tuples of a unit of the generator and a best buddy of it in each model, by falling mean r.

    Args:
        conn: where to look.
        generator: a model that need not be one: a name, or a nickname or family that stands for one model.
        others: the models, in the same way.
        probe: the probe set; None: the newest on which all of them were mined.
        k: best buddies are each among the other's k best.
        strict: all pairs of the models must be best buddies, too.
        q_value: every pair must be below it, in both directions; None: whatever it is.
        limit: tuples at most; the total is said.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or the models were not compared, with the command.
        InvalidRequest: when a name stands for several models or twice for one, k is more than what is kept, a number
            is none, or there is too much to try.
    """
    _check_numbers(k, q_value, limit)
    asked = _resolve(conn, generator, others)
    compared = _compared(conn, asked, probe, strict=strict)
    for row in compared.values():
        if k > row.keep:
            raise fewer_kept("k", k, row)

    def buddies(one: int, other: int, units: Sequence[int] | None = None) -> Iterator[tuple[int, Buddy]]:
        there, back = compared[asked[one].id, asked[other].id].id, compared[asked[other].id, asked[one].id].id
        return _buddies(conn, there, back, k=k, q_value=q_value, units=units)

    choices: dict[int, list[list[Buddy]]] = defaultdict(lambda: [[] for _ in others])
    for place in range(len(others)):
        for unit, buddy in buddies(0, place + 1):
            choices[unit][place].append(buddy)
    links = None
    if strict:
        links = {
            (first, second): {
                (unit, buddy.unit): buddy for unit, buddy in buddies(first + 1, second + 1, _units(choices, first))
            }
            for first, second in combinations(range(len(others)), 2)
        }
    total, found = tuples.find(choices, links, limit)
    largest, largest_total = ((), 0) if total else tuples.largest(choices, links)
    describe = _Describer(conn, asked)
    return Dictionary(
        generator=asked[0].name,
        models=tuple(row.name for row in asked[1:]),
        probe_set=next(iter(compared.values())).probe_set,
        k=k,
        strict=strict,
        q_value=q_value,
        total=total,
        tuples=tuple(map(describe, found)),
        largest=tuple(asked[place + 1].name for place in largest),
        largest_total=largest_total,
    )


def _check_numbers(k: int, q_value: float | None, limit: int) -> None:
    if k < 1:
        raise InvalidRequest(f"k must be 1 or more, not {k}", k=k)
    if q_value is not None and not 0 < q_value <= 1:
        raise InvalidRequest(f"a q-value lies above 0 and up to 1: {q_value} does not", q_value=str(q_value))
    if not 1 <= limit <= LARGEST_LIMIT:
        raise InvalidRequest(f"limit must be between 1 and {LARGEST_LIMIT}, not {limit}", limit=limit)


def _resolve(conn: sa.Connection, generator: str, others: Sequence[str]) -> list[sa.Row[Any]]:
    """The rows of the generator and of the models, all different."""
    if not others:
        raise InvalidRequest("a dictionary needs one model or more beside its generator: name them")
    asked = [_one_model(conn, mention) for mention in (generator, *others)]
    for place, row in enumerate(asked[1:], start=1):
        if row.id == asked[0].id:
            raise with_itself(row.name)
        if row.id in {before.id for before in asked[1:place]}:
            raise InvalidRequest(f"{row.name} is named twice: name each model once", model=row.name)
    return asked


def _one_model(conn: sa.Connection, mention: str) -> sa.Row[Any]:
    rows = names.resolve_models(conn, mention)
    if len(rows) > 1:
        fitting = [row.name for row in rows]
        raise InvalidRequest(
            f"'{mention}' stands for {len(rows)} models ({', '.join(fitting)}): name one", name=mention, models=fitting
        )
    return rows[0]


def _compared(conn: sa.Connection, asked: Sequence[sa.Row[Any]], probe: str | None, *, strict: bool) -> Compared:
    """The comparisons that the question needs, both directions, all on one probe set.

    Raises:
        NotFound: when there is no such probe set, or one of the comparisons was not made; the command names the
            probe set that has the most of them.
    """
    pairs = list(combinations(asked, 2)) if strict else [(asked[0], row) for row in asked[1:]]
    needed = {key for one, other in pairs for key in ((one.id, other.id), (other.id, one.id))}
    by_probe: dict[int, dict[tuple[int, int], sa.Row[Any]]] = defaultdict(dict)
    for row in conn.execute(_made(conn, [row.id for row in asked], probe)):
        if (row.model_id, row.neighbour_model_id) in needed:
            by_probe[row.probe_set_id][row.model_id, row.neighbour_model_id] = row
    best = max(by_probe.values(), key=lambda made: (len(made), max(row.id for row in made.values())), default={})
    if len(best) == len(needed):
        return best
    where = probe or next((row.probe_set for row in best.values()), None)
    missing = [(one, other) for one, other in pairs if (one.id, other.id) not in best]
    first = missing[0][0]
    raise not_mined(first.name, ",".join(other.name for one, other in missing if one.id == first.id), where)


def _made(conn: sa.Connection, ids: Sequence[int], probe: str | None) -> sa.Select[Any]:
    """The comparisons among some models, with what an error about them says."""
    one, other = models.alias("one"), models.alias("other")
    columns = comparisons.c
    statement = (
        sa.select(
            columns.id,
            columns.probe_set_id,
            columns.model_id,
            columns.neighbour_model_id,
            columns.keep,
            probe_sets.c.name.label("probe_set"),
            one.c.name.label("model"),
            other.c.name.label("neighbour_model"),
        )
        .join(probe_sets, probe_sets.c.id == columns.probe_set_id)
        .join(one, one.c.id == columns.model_id)
        .join(other, other.c.id == columns.neighbour_model_id)
        .where(columns.model_id.in_(ids), columns.neighbour_model_id.in_(ids))
    )
    return statement if probe is None else statement.where(probe_sets.c.id == names.probe_row(conn, probe).id)


def _buddies(
    conn: sa.Connection, there: int, back: int, *, k: int, q_value: float | None, units: Sequence[int] | None
) -> Iterator[tuple[int, Buddy]]:
    """The best buddies of two models, of some units of the first, by unit and strength."""
    filters = " ".join(part for part, on in ((_BELOW, q_value is not None), (_OF_UNITS, units is not None)) if on)
    values: dict[str, Any] = {"there": there, "back": back, "k": k}
    if q_value is not None:
        values["q_value"] = q_value
    if units is not None:
        values["units"] = list(units)
    for unit, neighbour, correlation, q in conn.execute(sa.text(_BUDDIES.format(filters=filters)), values):
        yield unit, Buddy(neighbour, correlation, q)


def _units(choices: Mapping[int, Choices], place: int) -> list[int]:
    return sorted({buddy.unit for buddies in choices.values() for buddy in buddies[place]})


class _Describer:
    """Makes results of tuples: a unit's layer and channel follow from the first units of its model's layers."""

    def __init__(self, conn: sa.Connection, asked: Sequence[sa.Row[Any]]) -> None:
        self._models = [(row.id, row.name) for row in asked]
        self._layers: dict[int, list[tuple[int, str]]] = defaultdict(list)
        statement = sa.select(layers.c.model_id, layers.c.first_unit, layers.c.name).order_by(layers.c.first_unit)
        for model, first, name in conn.execute(statement.where(layers.c.model_id.in_([row.id for row in asked]))):
            self._layers[model].append((first, name))

    def __call__(self, found: Tuple) -> DictionaryTuple:
        """The tuple with the names of its units, and the numbers of its pairs."""
        pairs = (*found.members, *found.links)
        units = [(found.unit, 1.0), *((member.unit, member.correlation) for member in found.members)]
        return DictionaryTuple(
            units=tuple(self._unit(place, *unit) for place, unit in enumerate(units)),
            mean_correlation=fmean(pair.correlation for pair in pairs),
            min_correlation=min(pair.correlation for pair in pairs),
            q_value=None if any(math.isnan(pair.q_value) for pair in pairs) else max(pair.q_value for pair in pairs),
        )

    def _unit(self, place: int, number: int, correlation: float) -> DictionaryUnit:
        model, name = self._models[place]
        of_model = self._layers[model]
        first, layer = of_model[bisect_right(of_model, number, key=lambda layer: layer[0]) - 1]
        return DictionaryUnit(name, layer, number, number - first, correlation)
