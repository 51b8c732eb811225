"""Cursors and limits."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosetta.errors import InvalidRequest
from service.queries import pages

parts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers(-(2**31) + 1, 2**31 - 1)
)


@given(st.lists(parts, min_size=1, max_size=4).map(tuple))
def test_a_cursor_comes_back(key):
    assert pages.decode_cursor(pages.encode_cursor(key), *map(type, key)) == key


@given(st.text(max_size=60))
def test_any_other_text_is_refused(text):
    with suppress(InvalidRequest):
        assert [type(part) for part in pages.decode_cursor(text, str, int)] == [str, int]


@pytest.mark.parametrize("limit", [-1, 0, 1001])
def test_limits(limit):
    with pytest.raises(InvalidRequest, match="between 1 and 1000"):
        pages.check_limit(limit)


@given(st.lists(st.integers(0, 100), max_size=30), st.integers(1, 40))
def test_pages_cover_the_rows(rows, limit):
    page = pages.paged(rows[: limit + 1], limit, key=lambda row: (row,), item=lambda row: row)
    assert list(page.items) == rows[:limit]
    assert (page.next_cursor is None) == (len(rows) <= limit)
