"""Words that people look for, as full-text queries."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest

LONGEST = 300
_WORD = re.compile(r"\w+")


def words_query(text: str) -> sa.ColumnElement[Any]:
    """The `tsquery` that wants every word of a text, by its stem or as a beginning.

    Raises:
        InvalidRequest: when there is no word in the text, or it is too long.
    """
    if len(text) > LONGEST:
        raise InvalidRequest(f"the text has {len(text)} characters: {LONGEST} are allowed")
    words = _WORD.findall(text)
    if not words:
        raise InvalidRequest("there is no word to look for: give one, such as `glasses`")
    parts = [
        sa.func.plainto_tsquery("english", word).op("||")(sa.func.to_tsquery("simple", sa.literal(f"{word}:*")))
        for word in words
    ]
    query: sa.ColumnElement[Any] = parts[0]
    for part in parts[1:]:
        query = query.op("&&")(part)
    return query
