"""Questions in words: what they mean, looked up in the zoo, answered in rows and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest, NotFound
from rosetta.results import Answer, Match, ModelPair
from service.database.schema import probe_sets
from service.queries import buddies, comparisons, grammar, matches, names, phrases
from service.queries.grammar import Question

_TOP = 10
_MOST_PAIRS = 50  # models a family may have on either side, multiplied


def answer(conn: sa.Connection, question: str, probe: str | None = None) -> Answer:
    """The answer to a question in words, for each model that its words fit.

    Args:
        conn: where to look.
        question: such as "which neurons in CLIP match StyleGAN unit 214?".
        probe: the probe set, where the question names none.

    Raises:
        InvalidRequest: when the question is none of those known, with the nearest; or asks for too many matches.
        NotFound: when a name is unknown, with the nearest ones; or nothing was mined, with the command.
    """
    asked = grammar.parse(question)
    named = asked.probe or probe
    asked = replace(asked, probe=None if named is None else _probe_name(conn, named))
    if asked.kind == "matches":
        return _matches(conn, question, asked)
    return _pairs(conn, question, asked)


@dataclass
class _Found:
    """What the models of a question contribute to its answer, each for itself."""

    lines: list[str] = field(default_factory=list)
    problems: list[InvalidRequest | NotFound] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    pairs: list[ModelPair] = field(default_factory=list)

    def text(self) -> str:
        """The answer's text.

        Raises:
            InvalidRequest: or `NotFound`, the first problem, when no model had an answer.
        """
        if not self.lines:
            raise self.problems[0]
        # A unit that is dead is so wherever it was looked for: said once.
        return "\n".join(dict.fromkeys([*self.lines, *(f"{problem.message}." for problem in self.problems)]))


def _matches(conn: sa.Connection, question: str, asked: Question) -> Answer:
    assert asked.unit is not None
    mention, unit = asked.unit
    models = names.resolve_models(conn, mention)
    others = None if asked.neighbour is None else names.resolve_models(conn, asked.neighbour)
    readings = [(mention, _names(models))]
    targets: list[str | None] = [None]
    whom = f"the matches of {phrases.unit_mention(_names(models), unit)}"
    if asked.neighbour is not None and others is not None:
        readings.append((asked.neighbour, _names(others)))
        targets = list(_names(others))
        whom += f" in {phrases.either(_names(others))}"
    _check_size(len(models) * len(targets))
    found = _Found()
    for model in models:
        for target in targets:
            if target == model.name and len(models) * len(targets) > 1:
                continue
            try:
                page = matches.find_matches(conn, model.name, unit, neighbour=target, probe=asked.probe, top=asked.top)
            except (InvalidRequest, NotFound) as problem:
                found.problems.append(problem)
                continue
            if not page.items:
                where = "" if target is None else f" in {target}"
                found.lines.append(f"{phrases.unit_mention([model.name], unit)} has no match{where}.")
            for _, group in groupby(page.items, key=lambda row: row.neighbour_model):
                found.lines.append(phrases.best_match(list(group), asked.minimum))
            found.matches += [row for row in page.items if asked.minimum is None or row.correlation >= asked.minimum]
    text = found.text()
    probes = list(dict.fromkeys(match.probe_set for match in found.matches)) or ([asked.probe] if asked.probe else [])
    understood = whom + phrases.limits(asked.top, probes, asked.minimum) + phrases.stands_for(readings)
    return Answer(question, "matches", understood, text, matches=tuple(found.matches))


def _pairs(conn: sa.Connection, question: str, asked: Question) -> Answer:
    (first, firsts), (second, seconds) = readings = _resolve_pair(conn, asked.pairs)
    couples = {
        tuple(sorted((one.name, other.name))): (one, other) for one in firsts for other in seconds if one.id != other.id
    }
    if not couples:
        raise InvalidRequest(f"'{first}' and '{second}' are one model, {firsts[0].name}: name two")
    _check_size(len(couples))
    probe_set_id = None if asked.probe is None else names.probe_row(conn, asked.probe).id
    found = _Found()
    for one, other in couples.values():
        row = comparisons.latest_pair(conn, one.id, other.id, probe_set_id)
        if row is None:
            found.problems.append(comparisons.not_mined(one.name, other.name, asked.probe))
            continue
        pair = comparisons.model_pair(row)
        found.pairs.append(pair)
        if asked.kind == "shared":
            found.lines.append(phrases.shared(pair))
            continue
        rows = buddies.strongest(conn, row.id, top=asked.top or _TOP, minimum=asked.minimum)
        found.matches += rows
        found.lines.append(phrases.best_buddies(pair, rows, asked.minimum))
    text = found.text()
    understood = (
        phrases.pair_subject(asked.kind, _names(firsts), _names(seconds))
        + phrases.limits(asked.top, list(dict.fromkeys(pair.probe_set for pair in found.pairs)), asked.minimum)
        + phrases.stands_for((mention, _names(rows)) for mention, rows in readings)
    )
    return Answer(question, asked.kind, understood, text, tuple(found.matches), tuple(found.pairs))


def _resolve_pair(
    conn: sa.Connection, readings: Sequence[tuple[str, str]]
) -> tuple[tuple[str, list[sa.Row[Any]]], tuple[str, list[sa.Row[Any]]]]:
    """The two mentions and their models, by the first reading of "A and B" of which both sides are models.

    Raises:
        NotFound: when no reading makes sense: what is wrong with the first.
    """
    problem: NotFound | None = None
    for first, second in readings:
        try:
            return (first, names.resolve_models(conn, first)), (second, names.resolve_models(conn, second))
        except NotFound as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _check_size(count: int) -> None:
    if count > _MOST_PAIRS:
        raise InvalidRequest(
            f"the question is about {count} pairs of models, and {_MOST_PAIRS} are answered at once:"
            " name a model instead of a family, or ask with SQL (analytics.model_pairs)"
        )


def _probe_name(conn: sa.Connection, mention: str) -> str:
    """The probe set's name; in a question its case does not matter.

    Raises:
        NotFound: when there is none, with the nearest names.
    """
    same = sa.select(probe_sets.c.name).where(sa.func.lower(probe_sets.c.name) == mention.lower())
    return conn.scalar(same) or str(names.probe_row(conn, mention).name)


def _names(rows: Sequence[sa.Row[Any]]) -> list[str]:
    return [row.name for row in rows]
