"""Tuples of best buddies: one unit and one of its buddies in each of some models, counted and the strongest found."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice
from math import prod
from typing import NamedTuple

from rosetta.errors import InvalidRequest

_MOST_STEPS = 500_000  # of a strict search: two seconds or so


class Buddy(NamedTuple):
    """The other unit of a pair of best buddies, their r, and the greater q of both directions (NaN: none)."""

    unit: int
    correlation: float
    q_value: float


class Tuple(NamedTuple):
    """A unit and a buddy of it in each model. `links`: the pairs of these buddies, where they had to be such too."""

    unit: int
    members: tuple[Buddy, ...]
    links: tuple[Buddy, ...] = ()


# The best buddies of one unit in each of some models, in the models' order, strongest first.
Choices = Sequence[Sequence[Buddy]]
# For the models at places i < j: which units of i and j are best buddies.
Links = Mapping[tuple[int, int], Mapping[tuple[int, int], Buddy]]


def find(choices: Mapping[int, Choices], links: Links | None, limit: int) -> tuple[int, list[Tuple]]:
    """How many tuples there are, and the `limit` of the highest mean r over their pairs, strongest first.

    Args:
        choices: of every unit.
        links: when the buddies must be best buddies of each other, too; None: they need not.
        limit: how many tuples at most.

    Raises:
        InvalidRequest: when there is too much to try.
    """
    if links is None:
        total = sum(prod(map(len, buddies)) for buddies in choices.values())
        ordered = heapq.merge(*(_best_first(unit, buddies) for unit, buddies in choices.items() if all(buddies)))
        return total, [
            Tuple(unit, tuple(buddies[place] for buddies, place in zip(choices[unit], places, strict=True)))
            for _, unit, places in islice(ordered, limit)
        ]
    search = _Search(links)
    found = [
        (-strength, unit, chosen)
        for unit, buddies in choices.items()
        if all(buddies)
        for strength, chosen in search.run(buddies, least=len(buddies))
    ]
    strongest = heapq.nsmallest(limit, found, key=lambda one: one[:2])
    return len(found), [Tuple(unit, tuple(chosen.values()), _between(chosen, links)) for _, unit, chosen in strongest]


def largest(choices: Mapping[int, Choices], links: Links | None) -> tuple[tuple[int, ...], int]:
    """The largest set of models that has a tuple, as places, and how many tuples it has; among equals that of most.

    Args:
        choices: of every unit.
        links: as of `find`.

    Raises:
        InvalidRequest: when there is too much to try.
    """
    having = [tuple(place for place, some in enumerate(buddies) if some) for buddies in choices.values()]
    size = max(map(len, having), default=0)
    found: Counter[tuple[int, ...]] = Counter()
    if links is None:
        for places, buddies in zip(having, choices.values(), strict=True):
            if len(places) == size:  # no unit has buddies in more, so this set is all that it can be counted for
                found[places] += prod(len(buddies[place]) for place in places)
    else:
        search = _Search(links)
        while size and not found:
            for places, buddies in zip(having, choices.values(), strict=True):
                if len(places) >= size:
                    found.update(tuple(chosen) for _, chosen in search.run(buddies, least=size))
            size -= 1
    return min(found.items(), key=lambda item: (-item[1], item[0]), default=((), 0))


def _best_first(unit: int, choices: Choices) -> Iterator[tuple[float, int, tuple[int, ...]]]:
    """All combinations of one unit's buddies by falling sum of r, as (-sum, unit, place of each buddy).

    A combination's followers differ by one step at one model; each is reached from one predecessor alone, the one
    with that step taken back at the last model that has moved.
    """

    def entry(places: tuple[int, ...], moved: int) -> tuple[float, tuple[int, ...], int]:
        return -sum(buddies[place].correlation for buddies, place in zip(choices, places, strict=True)), places, moved

    heap = [entry((0,) * len(choices), 0)]
    while heap:
        weakness, places, moved = heapq.heappop(heap)
        yield weakness, unit, places
        for model in range(moved, len(choices)):
            if places[model] + 1 < len(choices[model]):
                heapq.heappush(heap, entry((*places[:model], places[model] + 1, *places[model + 1 :]), model))


class _Search:
    """Searches for buddies of a unit that are best buddies of each other, with so many steps in all.

    Args:
        links: which units are.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._left = _MOST_STEPS

    def run(self, choices: Choices, *, least: int) -> list[tuple[float, dict[int, Buddy]]]:
        """All choices of a buddy in `least` or more models: the sum of r over their pairs, and place -> buddy.

        Raises:
            InvalidRequest: when no step is left.
        """
        found: list[tuple[float, dict[int, Buddy]]] = []

        def choose(place: int, chosen: dict[int, Buddy], strength: float) -> None:
            if place == len(choices):
                found.append((strength, chosen))
                return
            for buddy in choices[place]:
                self._step()
                between = [self._links[at, place].get((other.unit, buddy.unit)) for at, other in chosen.items()]
                pairs = [pair for pair in (buddy, *between) if pair is not None]
                if len(pairs) == 1 + len(chosen):
                    choose(place + 1, {**chosen, place: buddy}, strength + sum(pair.correlation for pair in pairs))
            if len(chosen) + len(choices) - place - 1 >= least:  # enough models follow to leave this one out
                choose(place + 1, chosen, strength)

        choose(0, {}, 0.0)
        return found

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise InvalidRequest(
                f"more than {_MOST_STEPS:,} combinations of best buddies to check:"
                " lower k, name fewer models, or leave out strict"
            )


def _between(chosen: Mapping[int, Buddy], links: Links) -> tuple[Buddy, ...]:
    """The pairs among the chosen buddies."""
    pairs = combinations(chosen.items(), 2)
    return tuple(links[first, second][one.unit, other.unit] for (first, one), (second, other) in pairs)
