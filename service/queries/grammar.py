"""The questions that `ask` knows: a small grammar of regular expressions, from text to what is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rapidfuzz import fuzz

from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest

LONGEST = 300
# What a person is shown who asked something else; A and B stand for models or families.
KNOWN = (
    "which neurons in A match B unit 214?",
    "which units in A are like layer4:45 of B?",
    "what matches B unit 214?",
    "what are the best buddies of A and B?",
    "how many neurons do A and B share?",
)

# Patterns are matched against `normalise`d text, in which every gap is one space.
_NOUN = "(?:neurons?|units?|features?|channels?|filters?|cells?|nodes?)"
_SHOW = (
    "(?:(?:show|find|list|give|name|tell)(?: me)?|which(?: is| are)?|what(?: is| are|'s)?|where(?: is| are))"
    "(?! do| does)"
)
_LIKE = "(?:like|similar to|equivalent to|the same as|clos(?:e|est) to|near(?:est)? to|analogous to)"
_VERB = (
    "(?:(?:best )?match(?:es|ing)?(?: to| with)?"
    "|correspond(?:s|ing)? (?:to|with)"
    "|(?:(?:are|is|looks?|fires?|responds?|behaves?|acts?) )?(?:(?:most|just|very) )?" + _LIKE + "|"
    "resembl(?:es|e|ing)|equals?|(?:pairs?|aligns?|agrees?|goes|go) with"
    "|(?:are|is) (?:the )?(?:best )?(?:budd(?:y|ies)|match(?:es)?|counterparts?) (?:of|for|to|with)"
    "|are|is)"
)
_MATCH = (
    "(?:(?:best|top|closest|nearest|strongest) )*"
    "(?:match(?:es)?|counterparts?|neighbou?rs?|equivalents?|analog(?:ue)?s?|partners?|budd(?:y|ies))"
)
_BUDDIES = (
    f"(?:best budd(?:y|ies)|mutual (?:best )?(?:match(?:es)?|neighbou?rs?)|rosetta neurons?|(?:common|shared) {_NOUN})"
)
_IN = "(?:in|inside|within|from|of|among)"
_BETWEEN_TWO = "(?:of|between|in|for|from|among|by|shared by)"
_SHARE = "(?:share|have in common|both have|agree on)"


def _patterns(*texts: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text, re.IGNORECASE) for text in texts)


# `a`: where to look. `unit`: which unit of which model. The first that reads decides, so that a unit which claims
# the whole rest of the sentence ("unit 5 in B") is tried before one that ends at another "in A".
_MATCHES = _patterns(
    f"{_SHOW} (?:the )?{_NOUN} {_IN} (?P<a>.+?) (?:(?:that|which|best) )*{_VERB} (?P<unit>.+)",
    f"{_SHOW} {_IN} (?P<a>.+?) {_VERB} (?P<unit>.+)",
    f"(?:is|are) there (?:an? |any )?{_NOUN} {_IN} (?P<a>.+?) (?:that )?{_VERB} (?P<unit>.+)",
    f"do(?:es)? (?P<a>.+?) have (?:an? |any )?(?:{_NOUN} )?(?:that )?{_VERB} (?P<unit>.+)",
    f"{_SHOW} (?:the )?(?:{_NOUN} )?(?:that )?{_VERB} (?P<unit>.+)",
    f"{_SHOW} (?:the )?(?:{_NOUN} )?(?:that )?{_VERB} (?P<unit>.+) in (?P<a>.+)",
    f"{_SHOW} (?:the )?(?P<a>.+?) {_NOUN} (?:that )?{_VERB} (?P<unit>.+)",
    f"(?:{_SHOW} )?(?:the )?{_MATCH} in (?P<a>.+?) (?:of|for|to) (?P<unit>.+)",
    f"(?:{_SHOW} )?(?:the )?{_MATCH} (?:of|for|to) (?P<unit>.+)",
    f"(?:{_SHOW} )?(?:the )?{_MATCH} (?:of|for|to) (?P<unit>.+) in (?P<a>.+)",
    f"(?:{_SHOW} )?(?:the )?(?P<unit>.+?)(?:'s|s')? {_MATCH} (?:in|from) (?P<a>.+)",
    f"(?:{_SHOW} )?(?:the )?(?P<unit>.+?)(?:'s|s')? {_MATCH}",
    f"what do(?:es)? (?P<unit>.+?) {_VERB} in (?P<a>.+)",
    "what do(?:es)? (?P<unit>.+?) (?:match|correspond to|look like|resemble)",
    f"(?P<a>.+?) {_NOUN} {_VERB} (?P<unit>.+)",
    "(?P<unit>.+?) ?(?:in|->|\u2192|to|vs\\.?) (?P<a>.+)",
    f"(?:{_SHOW} )?(?P<unit>.+)",
)
_BUDDY_QUESTIONS = _patterns(
    f"(?:{_SHOW} )?(?:all )?(?:the )?(?:strongest )?{_BUDDIES} {_BETWEEN_TWO} (?P<pair>.+)",
    f"(?:{_SHOW} )?(?:the )?{_NOUN} (?:of|in|from|between) (?P<pair>.+?) (?:that )?"
    f"(?:are {_BUDDIES}|match(?: each other)?|correspond(?: to each other)?|are shared)",
    f"(?:what|which) (?:{_NOUN} )?do (?P<pair>.+?) {_SHARE}",
    f"{_SHOW} {_NOUN} (?:are )?shared (?:by|between|among) (?P<pair>.+)",
    f"(?P<pair>.+?)(?:'s)? {_BUDDIES}",
)
_SHARED_QUESTIONS = _patterns(
    f"how many (?:{_BUDDIES}|{_NOUN}) (?:do|are|does) (?P<pair>.+?) (?:{_SHARE}|have|share)",
    f"how many (?:{_BUDDIES}|{_NOUN}) (?:are )?(?:there )?(?:shared )?{_BETWEEN_TWO} (?P<pair>.+?)"
    f"(?: match| are shared| are {_BUDDIES})?",
    f"how (?:much|similar|alike|close) (?:do|are|is) (?P<pair>.+?)(?: (?:{_SHARE}|overlap))?",
    f"(?:the )?number of (?:{_BUDDIES}|{_NOUN}) (?:shared )?(?:that|{_BETWEEN_TWO}) (?P<pair>.+?)(?: {_SHARE})?",
)
# Two models in two places: "neurons of A that match neurons of B". Last, for B may be a unit.
_CROSS_QUESTIONS = _patterns(
    f"{_SHOW} (?:the )?{_NOUN} {_IN} (?P<first>.+?) (?:(?:that|which|best) )*{_VERB} (?:the )?(?:any )?"
    f"(?:{_NOUN} )?(?:{_IN} )?(?P<second>.+)",
)

# A model's mention begins with no word of the question around it, and no "of" or "in" separates its words.
_NO_MODEL = f"(?:is|are|do|does|for|of|in|to|what|which|how|that|{_NOUN}|the (?:best|top))"
_MODEL = f"(?P<model>(?!{_NO_MODEL}(?: |$))(?:(?! (?:in|of|from|on) ).)+?)"
_NUMBER = r"#?(?P<number>\d{1,9})"
_LAYER = r"(?P<layer>[^ :]+):(?P<channel>\d{1,9})"
_UNITS = _patterns(
    f"(?P<model>[^ /]+)/(?:{_NUMBER}|{_LAYER})",
    f"(?:the )?(?:{_NOUN} |number )?(?:{_NUMBER}|{_LAYER}) (?:of|in|from) {_MODEL}",
    f"{_MODEL}(?:'s|s')?,? (?:{_NOUN} )?(?:number |no\\.? )?(?:{_NUMBER}|{_LAYER})",
)

_ON = re.compile(
    "(?:^| )on (?:the )?(?:probe(?: set)? )?(?P<probe>[a-z0-9][a-z0-9._-]*)(?: probe(?: set)?| images)?(?=[ ,]|$)",
    re.IGNORECASE,
)
_TOP = re.compile(
    r"\b(?:the )?(?:top|best|first|strongest)[ -](?P<top>\d{1,4})\b"
    r"|\bthe (?P<n>\d{1,4})(?= (?:best|top|closest|nearest|strongest)\b)",
    re.IGNORECASE,
)
_MINIMUM = re.compile(
    "(?:,? (?:and|with|at|whose))*(?: an?)?(?: (?:r|correlations?|scores?|similarity)(?: is)?)?"
    " ?(?:above|over|of at least|at least|greater than|higher than|more than|>=?|\u2265)"
    r" ?(?:r ?=? ?)?(?P<minimum>0?\.\d{1,9}|0|1(?:\.0{1,9})?)(?![\w.])",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r" ?(?:,|&|\+) ?| (?:and|with|versus|vs\.?) ", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """What is asked, in words that are not looked up yet.

    Attributes:
        kind: `matches` of a unit; `best_buddies` of two models; how many units they have in common: `shared`.
        unit: for `matches`, the mention of the model and the unit in it.
        neighbour: for `matches`, the mention of where to look; None: everywhere.
        pairs: for the others, the ways to read the mention of two models; the first that makes sense counts.
        probe: name of a probe set.
        top: how many.
        minimum: the least r.
    """

    kind: Literal["matches", "best_buddies", "shared"]
    unit: tuple[str, UnitReference] | None = None
    neighbour: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    probe: str | None = None
    top: int | None = None
    minimum: float | None = None


def parse(text: str) -> Question:
    """What the text asks.

    Raises:
        InvalidRequest: when it is not one of the questions known, with those, the nearest first.
    """
    rest = normalise(text)
    if not rest or len(rest) > LONGEST:
        raise not_understood(text)
    rest, probe = _take(_ON, rest, "probe")
    rest, minimum = _take(_MINIMUM, rest, "minimum")
    rest, top = _take(_TOP, rest, "top", "n")
    limits = {
        "probe": probe,
        "top": None if top is None else int(top),
        "minimum": None if minimum is None else float(minimum),
    }
    for kind, patterns in (("shared", _SHARED_QUESTIONS), ("best_buddies", _BUDDY_QUESTIONS)):
        for match in _readings(patterns, rest):
            if pairs := _pairs(match["pair"]):
                return Question(kind=kind, pairs=pairs, **limits)  # type: ignore[arg-type]
    for match in _readings(_MATCHES, rest):
        if unit := parse_unit_mention(match["unit"]):
            neighbour = _tidy(match.groupdict().get("a"))
            return Question(kind="matches", unit=unit, neighbour=neighbour, **limits)  # type: ignore[arg-type]
    for match in _readings(_CROSS_QUESTIONS, rest):
        first, second = _tidy(match["first"]), _tidy(match["second"])
        if first and second:
            return Question(kind="best_buddies", pairs=((first, second),), **limits)  # type: ignore[arg-type]
    raise not_understood(text)


def parse_unit_mention(text: str) -> tuple[str, UnitReference] | None:
    """The model and the unit of `StyleGAN unit 214`, `unit 5 of B`, `B's main.8:45`; None when it names no unit."""
    for pattern in _UNITS:
        match = pattern.fullmatch(text.strip())
        model = match and _tidy(match["model"])
        if match and model:
            if number := match["number"]:
                return model, UnitReference(number=int(number))
            return model, UnitReference(layer=match["layer"], channel=int(match["channel"]))
    return None


def normalise(text: str) -> str:
    """The text with plain quotes and single spaces, without the marks and courtesies around it."""
    text = "".join(character if character.isprintable() else " " for character in text)
    text = text.translate(str.maketrans("\u2019\u2018\u201c\u201d`", '\'\'"""'))
    text = " ".join(text.replace('"', " ").split())
    text = re.sub(r"(?i)^(?:please|hey|hi|so|ok|and|can you|could you|tell me)[\s,]+", "", text)
    return re.sub(r"(?i)(?:\s+please)?[\s?!.;,]*$", "", text)


def not_understood(text: str) -> InvalidRequest:
    """The error that lists the questions known, the nearest first."""
    shown = " ".join(text.split())
    known = sorted(KNOWN, key=lambda question: -fuzz.token_set_ratio(shown[:LONGEST], question))
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    listed = "; ".join(known)
    return InvalidRequest(f"'{shown}' is not a question I know; ask: {listed}", questions=list(known))


def _readings(patterns: tuple[re.Pattern[str], ...], text: str) -> Iterator[re.Match[str]]:
    return (match for pattern in patterns if (match := pattern.fullmatch(text)))


def _take(pattern: re.Pattern[str], text: str, *groups: str) -> tuple[str, str | None]:
    """The text without what the pattern finds, and the first of the groups that it found."""
    match = pattern.search(text)
    if match is None:
        return text, None
    rest = f"{text[: match.start()]} {text[match.end() :]}"
    return " ".join(rest.split()).strip(" ,;?!"), next(match[group] for group in groups if match[group] is not None)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """The ways to read `A and B`; a name may itself hold the word "and"."""
    text = re.sub(rf"(?i)^both |\b{_NOUN} (?:of|in|from) ", "", text)
    found = ((_tidy(text[: cut.start()]), _tidy(text[cut.end() :])) for cut in _BETWEEN.finditer(text))
    return tuple((first, second) for first, second in found if first and second)


def _tidy(mention: str | None) -> str | None:
    """A mention without what surrounds it; None when nothing is left."""
    return (mention or "").strip(" \t,;:'\"") or None
