from __future__ import annotations

import pytest

from rosetta.errors import InvalidRequest
from service.database.engine import make_engine, parse_url, unreachable


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_scheme_of_postgres_means_psycopg(scheme):
    url = parse_url(f"{scheme}://user:p%40ss@db:6543/store?sslmode=require")
    assert (url.drivername, url.username, url.password) == ("postgresql+psycopg", "user", "p@ss")
    assert (url.host, url.port, url.database, url.query) == ("db", 6543, "store", {"sslmode": "require"})


def test_sockets_are_written_in_two_ways():
    assert parse_url("postgresql://u@%2Ftmp%2Fs/store").host == "/tmp/s"
    assert parse_url("postgresql://u@/store?host=/tmp/s").query == {"host": "/tmp/s"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:hidden@h/d", "begins with 'mysql', not 'postgresql'"),
        ("postgresql://u:hidden@h", "names no database"),
        ("postgresql://u:hidden@h:port/d", "cannot be read"),
        ("hidden", "cannot be read"),
    ],
)
def test_a_wrong_url_is_explained_without_its_password(url, message):
    with pytest.raises(InvalidRequest, match=message) as caught:
        make_engine(url)
    assert "hidden" not in str(caught.value)
    assert "ROSETTA_DATABASE_URL" in str(caught.value)


def test_unreachable_is_one_line_that_names_the_place():
    message = unreachable("postgresql://u:hidden@h/d", OSError("line one\n\tline two")).message
    assert message == (
        "cannot use the database 'd' at h:5432 as 'u': line one line two "
        "(see that it runs, and check ROSETTA_DATABASE_URL)"
    )
