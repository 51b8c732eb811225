"""Sentences: rows of an answer as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rosetta.addresses import UnitReference
from rosetta.results import Match, ModelPair

SIGNIFICANT = 0.05


def best_match(rows: Sequence[Match], minimum: float | None = None) -> str:
    """A sentence about the best match of a unit in one model.

    Args:
        rows: the unit's matches in that model, best first; at least one.
        minimum: the least r asked for.
    """
    best = rows[0]
    unit = f"{best.model} unit {best.unit} ({best.layer}:{best.channel})"
    facts = [f"unit {best.neighbour_unit} ({best.neighbour_layer}:{best.neighbour_channel})", f"r = {_r(best)}"]
    if best.is_best_buddy:
        facts.append("best buddies")
    facts.append(_significance(best.q_value))
    sentence = f"{best.neighbour_model}'s best match for {unit} is {', '.join(facts)}."
    if minimum is not None and best.correlation < minimum:
        return f"Nothing in {best.neighbour_model} reaches r = {minimum:g}: {sentence}"
    return sentence


def best_buddies(pair: ModelPair, rows: Sequence[Match], minimum: float | None = None) -> str:
    """Two sentences: how many best buddies two models have, and the strongest of them."""
    text = (
        f"{pair.model} and {pair.neighbour_model} have {_count(pair.best_buddies, 'pair')} of best buddies on probe"
        f" set {pair.probe_set}, {pair.significant_best_buddies} of them at q < {SIGNIFICANT}{_chance(pair)}."
    )
    if rows:
        best = rows[0]
        return (
            f"{text} The strongest: {best.model} unit {best.unit} ({best.layer}:{best.channel}) and"
            f" {best.neighbour_model} unit {best.neighbour_unit} ({best.neighbour_layer}:{best.neighbour_channel}),"
            f" r = {_r(best)}."
        )
    return f"{text} None reaches r = {minimum:g}." if minimum is not None and pair.best_buddies else text


def shared(pair: ModelPair) -> str:
    """A sentence about how much two models have in common."""
    return (
        f"{pair.model} and {pair.neighbour_model} share {_count(pair.significant_best_buddies, 'neuron')} on probe set"
        f" {pair.probe_set}: best buddies at q < {SIGNIFICANT}, of {_count(pair.best_buddies, 'pair')} of best buddies"
        f"{_chance(pair)}. Alive are {pair.live_units} units of {pair.model}"
        f" and {pair.neighbour_live_units} of {pair.neighbour_model}."
    )


def unit_mention(models: Sequence[str], reference: UnitReference) -> str:
    """Such as `dcgan-faces unit 813`, or `main.8:45 of dcgan-faces`."""
    whom = either(models)
    return f"{whom} unit {reference}" if reference.number is not None else f"{reference} of {whom}"


def pair_subject(kind: str, firsts: Sequence[str], seconds: Sequence[str]) -> str:
    """What a question about two models, or families, is about."""
    if kind == "best_buddies":
        return f"the best buddies of {either(firsts)} with {either(seconds)}"
    return f"how many neurons {either(firsts)} {'share' if len(firsts) > 1 else 'shares'} with {either(seconds)}"


def stands_for(readings: Iterable[tuple[str, Sequence[str]]]) -> str:
    """What nicknames were taken to mean; empty when every mention was a model's name."""
    told = dict.fromkeys(f"'{mention}' is {either(names)}" for mention, names in readings if list(names) != [mention])
    return f" ({', '.join(told)})" if told else ""


def limits(top: int | None, probe_sets: Sequence[str], minimum: float | None) -> str:
    """The bounds of a question, as the end of a phrase."""
    parts = [f"on probe set {either(probe_sets)}"] if probe_sets else []
    if minimum is not None:
        parts.append(f"with r at least {minimum:g}")
    if top is not None:
        parts.append(f"at most {top} each")
    return "".join(f", {part}" for part in parts)


def either(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _significance(q_value: float | None) -> str:
    if q_value is None:
        return "not tested against chance"
    text = "q < 0.001" if q_value < 0.001 else f"q = {q_value:.2g}"
    return text if q_value < SIGNIFICANT else f"{text} (chance may do as well)"


def _chance(pair: ModelPair) -> str:
    return "" if pair.chance_best_buddies is None else f"; chance alone gives {pair.chance_best_buddies:.3g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _r(match: Match) -> str:
    return f"{match.correlation:.2f}"
