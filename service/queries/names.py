"""Names that people use, looked up. What is not found is an error with the nearest names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from rapidfuzz import fuzz, process

from rosetta.addresses import UnitReference
from rosetta.errors import NotFound
from service.database.schema import layers, models, probe_sets, units

_SUGGESTIONS = 3
_FILLERS = re.compile(r"^(?:the|a|an|any|all|every|each)\s+|\s+(?:models?|networks?|family|zoo)$")
_WORD = re.compile(r"[a-z]+|\d+")
UNIT: tuple[sa.ColumnElement[Any], ...] = (
    units.c.number,
    layers.c.name.label("layer"),
    units.c.channel,
    layers.c.height,
    layers.c.width,
)
# A shorter beginning of a name would fit too much to be what a person meant.
_SHORTEST_NICKNAME = 3


def model_row(conn: sa.Connection, name: str) -> sa.Row[Any]:
    """The row of `models` with exactly that name.

    Raises:
        NotFound: when there is none, with the nearest names.
    """
    row = conn.execute(sa.select(models).where(models.c.name == name)).one_or_none()
    if row is None:
        raise _no_model(conn, name)
    return row


def probe_row(conn: sa.Connection, name: str) -> sa.Row[Any]:
    """The row of `probe_sets` with exactly that name.

    Raises:
        NotFound: when there is none, with the nearest names.
    """
    row = conn.execute(sa.select(probe_sets).where(probe_sets.c.name == name)).one_or_none()
    if row is None:
        names = list(conn.scalars(sa.select(probe_sets.c.name).order_by(probe_sets.c.name)))
        raise not_found("probe set", name, names, "make one with `rosetta probes add NAME ...`")
    return row


def resolve_models(conn: sa.Connection, mention: str) -> list[sa.Row[Any]]:
    """All models that a mention such as `CLIP`, `EfficientNet` or `the age net` fits, ordered by name.

    Case and punctuation do not matter. The first of these that fits anything decides: a name, an alias or a
    family, the beginning of a name or alias, words that all occur in a name.

    Raises:
        NotFound: when it fits none, with the nearest names.
    """
    exact = conn.execute(sa.select(models).where(models.c.name == mention)).all()
    if exact:
        return list(exact)
    rows = conn.execute(sa.select(models).order_by(models.c.name)).all()
    found = _fitting(rows, mention)
    if not found:
        raise _unknown_model(rows, mention)
    return found


def unit_row(conn: sa.Connection, model: sa.Row[Any], reference: UnitReference) -> sa.Row[Any]:
    """The unit's `number`, `layer` (its name), `channel`, `height` and `width` (its grid).

    Raises:
        NotFound: when the model has no such unit, naming what it has.
    """
    statement = sa.select(*UNIT).join(layers, layers.c.id == units.c.layer_id).where(units.c.model_id == model.id)
    if reference.number is not None:
        statement = statement.where(units.c.number == reference.number)
    else:
        statement = statement.where(layers.c.name == reference.layer, units.c.channel == reference.channel)
    row = conn.execute(statement).one_or_none()
    if row is None:
        raise _no_unit(conn, model, reference)
    return row


def not_found(noun: str, name: str, names: Sequence[str], mend: str) -> NotFound:
    """The error that a thing does not exist, with the nearest names, or what there is, or how to make one."""
    near = suggest(name, names)
    if near:
        message = f"no {noun} '{name}'; did you mean {_either(near)}?"
    elif names:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        message = f"no {noun} '{name}'; there {'are' if len(names) > 1 else 'is'} {shown}"
    else:
        message = f"no {noun} '{name}': there are none yet; {mend}"
    return NotFound(message, name=name, suggestions=near)


def suggest(name: str, names: Sequence[str]) -> list[str]:
    """At most three of the names that are nearest to `name`, best first."""
    found = process.extract(name, names, scorer=fuzz.WRatio, processor=_key, limit=_SUGGESTIONS, score_cutoff=65)
    return [match for match, _, _ in found]


def _key(text: str) -> str:
    """The letters and digits alone, lower case."""
    return "".join(character for character in text.casefold() if character.isalnum())


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _fitting(rows: Sequence[sa.Row[Any]], mention: str) -> list[sa.Row[Any]]:
    """The rows that the mention fits, by the first rule that fits any."""
    bare = mention.strip().casefold()
    while (shorter := _FILLERS.sub("", bare)) != bare:
        bare = shorter
    found = _fitting_words(rows, bare)
    # "net" may be a part of the name, as in age-net, or stand for "network".
    return found or _fitting_words(rows, bare.removesuffix(" net"))


def _fitting_words(rows: Sequence[sa.Row[Any]], bare: str) -> list[sa.Row[Any]]:
    key, words = _key(bare), _words(bare)
    if not key:
        return []
    if found := [row for row in rows if _key(row.name) == key]:
        return found
    if found := [row for row in rows if key in {_key(row.family), *map(_key, row.aliases)}]:
        return found
    if len(key) < _SHORTEST_NICKNAME:
        return []
    if found := [row for row in rows if any(_key(name).startswith(key) for name in (row.name, *row.aliases))]:
        return found
    return [row for row in rows if words <= _words(f"{row.name} {row.family}")]


def _no_model(conn: sa.Connection, name: str) -> NotFound:
    return _unknown_model(conn.execute(sa.select(models).order_by(models.c.name)).all(), name)


def _unknown_model(rows: Sequence[sa.Row[Any]], name: str) -> NotFound:
    """No model has that name; what it would fit as a nickname is the best suggestion."""
    near = [row.name for row in _fitting(rows, name)[:_SUGGESTIONS]]
    if near:
        return NotFound(f"no model '{name}'; did you mean {_either(near)}?", name=name, suggestions=near)
    mend = "add one with `rosetta models add NAME --source SOURCE`"
    return not_found("model", name, [row.name for row in rows], mend)


def _no_unit(conn: sa.Connection, model: sa.Row[Any], reference: UnitReference) -> NotFound:
    if reference.number is not None:
        return NotFound(
            f"{model.name} has no unit {reference}: its {model.units} units are 0 to {model.units - 1}",
            model=model.name,
            unit=str(reference),
        )
    statement = sa.select(layers.c.name, layers.c.channels).where(layers.c.model_id == model.id)
    channels = {row.name: row.channels for row in conn.execute(statement.order_by(layers.c.position))}
    if reference.layer in channels:
        last = channels[reference.layer] - 1
        message = f"{model.name}/{reference.layer} has no channel {reference.channel}: it has 0 to {last}"
        return NotFound(message, model=model.name, unit=str(reference))
    error = not_found("layer", str(reference.layer), list(channels), "register the model again")
    return NotFound(f"{model.name} has {error.message}", model=model.name, **error.details)


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
