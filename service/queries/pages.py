"""Pages of a list: opaque keyset cursors, and the limit a caller may ask for."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from rosetta.errors import InvalidRequest
from rosetta.results import Page

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 1000

Row = TypeVar("Row")
Item = TypeVar("Item")
Key = tuple[str | int, ...]


def check_limit(limit: int) -> int:
    """The limit itself, when it is one.

    Raises:
        InvalidRequest: when it is not between 1 and 1000.
    """
    if not 1 <= limit <= LARGEST_LIMIT:
        raise InvalidRequest(f"limit must be between 1 and {LARGEST_LIMIT}, not {limit}", limit=limit)
    return limit


def encode_cursor(key: Key) -> str:
    """An opaque text for the key of the last row of a page."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> Key:
    """The key that `encode_cursor` wrote, whose parts have these types.

    Raises:
        InvalidRequest: when the text is no cursor of this list.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key: Key = msgspec.json.decode(text, type=tuple.__class_getitem__(types))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidRequest("cursor is not one of this list: pass on next_cursor as it came") from None
    # Postgres texts hold no NUL, and its integers are smaller than Python's.
    if any("\0" in part if isinstance(part, str) else abs(part) >= 2**31 for part in key):
        raise InvalidRequest("cursor is not one of this list: pass on next_cursor as it came")
    return key


def paged(rows: Sequence[Row], limit: int, key: Callable[[Row], Key], item: Callable[[Row], Item]) -> Page[Item]:
    """The page of the first `limit` rows; a query fetches one row more, to know whether any follow."""
    shown = rows[:limit]
    following = encode_cursor(key(shown[-1])) if len(rows) > limit else None
    return Page(items=tuple(item(row) for row in shown), next_cursor=following)
