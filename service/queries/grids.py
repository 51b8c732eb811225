"""Grids: units of several models on the same images, as the figure of the paper shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rosetta.addresses import UnitReference, parse_address
from rosetta.errors import InvalidRequest, NotFound
from rosetta.results import ConceptMember, Match, ModelPair
from service.queries import concepts
from service.queries.comparisons import pairs_among
from service.queries.exemplars import Measure, MeasuredUnit, exemplars_of_concept, list_exemplars, measured_unit
from service.queries.matches import find_matches
from service.queries.probe_images import ProbeImage, probe_image

IMAGES, MOST_IMAGES = 8, 32
ROWS, MOST_ROWS = 16, 64


@dataclass(frozen=True)
class GridRow:
    """A unit of a grid, and what is said of it, line by line."""

    unit: MeasuredUnit
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """What a grid shows, looked up: units, the images they are shown on, and what is said of them."""

    title: str
    facts: tuple[str, ...]
    columns: str
    probe_set: sa.Row[Any]
    images: tuple[ProbeImage, ...]
    rows: tuple[GridRow, ...]


def concept_grid(conn: sa.Connection, concept: int, *, images: int, rows: int, per_model: int) -> Grid:
    """The strongest members of a concept, on the images that its members together fire on most.

    Args:
        conn: where to look.
        concept: its number.
        images: how many at most.
        rows: units at most; of every model the strongest comes first.
        per_model: units of one model at most.

    Raises:
        NotFound: when there is no such concept, or no exemplars of its members are stored.
    """
    found = concepts.get_concept(conn, concept)
    members = strongest(found.members, most=rows, per_model=per_model)
    units = [_measured(conn, member.model, member.unit, found.probe_set) for member in members]
    positions = exemplars_of_concept(conn, concept, top=images)
    if not positions:
        raise _no_exemplars(f"the members of concept {concept}", found.probe_set)
    shown = [GridRow(unit, (f"strength {member.strength:.2f}",)) for unit, member in zip(units, members, strict=True)]
    # First the generator, whose the images are, then the models whose units belong to the concept most.
    shown.sort(key=lambda row: not row.unit.model.is_generator)
    pairs = pairs_among(conn, units[0].probe_set.id, found.models)
    return _grid(
        conn,
        f"Concept {concept}",
        (
            f"{_count(found.units, 'unit')} of {_count(len(found.models), 'model')} on probe set {found.probe_set}, "
            f"version {found.version}: cohesion {found.cohesion:.2f}, stability {found.stability:.2f}, "
            f"q {_q_value(found.q_value)}.",
            *_buddies(pairs, "Best buddies of these models"),
        ),
        "the images that the concept's units together fire on most",
        positions,
        shown,
    )


def unit_grid(
    conn: sa.Connection,
    model: str,
    unit: UnitReference,
    *,
    probe: str | None,
    by: Measure,
    within: str | None,
    top: int,
    best_buddies: bool,
    images: int,
    rows: int,
) -> Grid:
    """A unit and its best matches in other models, on the images that it fires on most.

    Args:
        conn: where to look.
        model: the unit's model.
        unit: the unit.
        probe: the probe set; None: the one on which the model was last mined.
        by: which images: of the greatest maximum or mean of its activation map.
        within: where to look for matches: a model, a family or a nickname; None: every model it was mined with.
        top: matches in each model.
        best_buddies: only matches of two units that are each other's best.
        images: how many at most.
        rows: matches at most, the strongest.

    Raises:
        NotFound: as `measured_unit` and, where `within` is named, `find_matches`; or no exemplars are stored.
        InvalidRequest: when the unit is dead, or more matches are asked for than are kept.
    """
    own = measured_unit(conn, model, unit, probe)
    found = _matches(conn, own, within, top, best_buddies=best_buddies)[:rows]
    reference = UnitReference(number=own.unit.number)
    ranked = list_exemplars(conn, model, reference, probe=own.probe_set.name, by=by)
    if not ranked:
        raise _no_exemplars(f"unit {own.unit.number} of {model}", own.probe_set.name)
    others = [_measured(conn, match.neighbour_model, match.neighbour_unit, match.probe_set) for match in found]
    matched = [GridRow(other, _of_match(match)) for other, match in zip(others, found, strict=True)]
    pairs = pairs_among(conn, own.probe_set.id, {own.model.name, *(match.neighbour_model for match in found)})
    of_own = [pair for pair in pairs if own.model.name in (pair.model, pair.neighbour_model)]
    best = "its best match" if top == 1 else f"its {top} best matches"
    return _grid(
        conn,
        f"Unit {own.unit.number} of {own.model.name}",
        (
            f"{own.unit.layer}:{own.unit.channel}"
            + (f", and {best} in {within or 'each other model'}" if found else "")
            + f", on probe set {own.probe_set.name}.",
            *_buddies(of_own, f"Best buddies of {own.model.name} with these models"),
        ),
        f"the images on which unit {own.unit.number} has the highest {by}",
        [exemplar.image for exemplar in ranked[:images]],
        [GridRow(own), *matched],
    )


def units_grid(conn: sa.Connection, addresses: Sequence[str], *, probe: str | None, by: Measure, images: int) -> Grid:
    """Any units, on the images that the first of them fires on most.

    Args:
        conn: where to look.
        addresses: `model/layer:channel`, or `model/214`.
        probe: the probe set; None: the one on which the first unit's model was last mined.
        by: which images: of the greatest maximum or mean of the first unit's activation map.
        images: how many at most.

    Raises:
        NotFound: as `measured_unit`; or no exemplars of the first unit are stored.
        InvalidRequest: when an address is none, or there are too many.
    """
    if not 1 <= len(addresses) <= MOST_ROWS:
        raise InvalidRequest(f"a grid has 1 to {MOST_ROWS} units, not {len(addresses)}", units=len(addresses))
    places = [parse_address(address) for address in addresses]
    first = measured_unit(conn, *places[0], probe)
    on = first.probe_set.name
    units = [first, *(measured_unit(conn, model, unit, on) for model, unit in places[1:])]
    ranked = list_exemplars(conn, first.model.name, UnitReference(number=first.unit.number), probe=on, by=by)
    if not ranked:
        raise _no_exemplars(f"unit {first.unit.number} of {first.model.name}", on)
    return _grid(
        conn,
        f"{_count(len(units), 'unit')} on {on}",
        (),
        f"the images on which unit {first.unit.number} of {first.model.name} has the highest {by}",
        [exemplar.image for exemplar in ranked[:images]],
        [GridRow(unit) for unit in units],
    )


def strongest(members: Iterable[ConceptMember], *, most: int, per_model: int | None = None) -> list[ConceptMember]:
    """Of every model its strongest members, as many of each as fit; by model, those of the strongest one first.

    Args:
        members: of a concept.
        most: how many at most.
        per_model: of one model at most; None: as many as fit.
    """
    by_model: dict[str, list[ConceptMember]] = {}
    for member in sorted(members, key=lambda member: -member.strength):
        by_model.setdefault(member.model, []).append(member)
    ranked = [(rank, member) for group in by_model.values() for rank, member in enumerate(group[:per_model])]
    chosen = [member for _, member in sorted(ranked, key=lambda pair: (pair[0], -pair[1].strength))[:most]]
    places = list(by_model)
    return sorted(chosen, key=lambda member: (places.index(member.model), -member.strength))


def _grid(
    conn: sa.Connection,
    title: str,
    facts: tuple[str, ...],
    columns: str,
    positions: Sequence[int],
    rows: Sequence[GridRow],
) -> Grid:
    probe_set = rows[0].unit.probe_set
    images = tuple(probe_image(conn, probe_set, position) for position in positions)
    return Grid(title, facts, columns, probe_set, images, tuple(rows))


def _measured(conn: sa.Connection, model: str, unit: int, probe: str) -> MeasuredUnit:
    return measured_unit(conn, model, UnitReference(number=unit), probe)


def _matches(
    conn: sa.Connection, own: MeasuredUnit, within: str | None, top: int, *, best_buddies: bool
) -> list[Match]:
    """The matches, the strongest first; none where the model was compared with no other."""
    found: Sequence[Match] = ()
    with suppress(*(() if within else (NotFound,))):
        found = find_matches(
            conn,
            own.model.name,
            UnitReference(number=own.unit.number),
            neighbour=within,
            probe=own.probe_set.name,
            top=top,
            best_buddies=best_buddies,
        ).items
    return sorted(found, key=lambda match: -match.correlation)


def _of_match(match: Match) -> tuple[str, ...]:
    tested = "" if match.q_value is None else f", q {_q_value(match.q_value)}"
    return (f"r {match.correlation:.2f}{tested}", *(["best buddies"] if match.is_best_buddy else []))


def _buddies(pairs: Sequence[ModelPair], what: str) -> tuple[str, ...]:
    """How many best buddies these pairs have, how many pass the test, and how many chance alone gives."""
    if not pairs:
        return ()
    chances = [pair.chance_best_buddies for pair in pairs]
    chance = "" if None in chances else f", where chance alone gives {sum(filter(None, chances)):,.0f}"
    total = sum(pair.best_buddies for pair in pairs)
    tested = sum(pair.significant_best_buddies for pair in pairs)
    where = f"in {_count(len(pairs), 'pair')}"
    return (f"{what}: {total:,} {where}{chance}; {tested:,} of them pass the test at q < 0.05.",)


def _no_exemplars(whose: str, probe: str) -> NotFound:
    return NotFound(
        f"no exemplars are stored of {whose}: `rosetta mine --probe {probe}` stores those of units that are not dead",
        probe_set=probe,
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _q_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
