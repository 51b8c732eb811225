"""Engines: how this service connects to Postgres."""

from __future__ import annotations

from urllib.parse import unquote

import sqlalchemy as sa

from rosetta.errors import InvalidRequest, Unavailable

_SCHEMES = ("postgresql", "postgres")


def parse_url(url: str | sa.URL) -> sa.URL:
    """The URL with psycopg as its driver; `postgres://` and libpq's `%2Fsocket` hosts are understood.

    Raises:
        InvalidRequest: when it is not the URL of a Postgres database.
    """
    mend = "write it like postgresql://user:password@host:5432/database (ROSETTA_DATABASE_URL)"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # their messages would show the password
        raise InvalidRequest(f"the database URL cannot be read: {mend}") from None
    if parsed.drivername.partition("+")[0] not in _SCHEMES:
        raise InvalidRequest(f"the database URL begins with '{parsed.drivername}', not 'postgresql': {mend}")
    if not parsed.database:
        raise InvalidRequest(f"the database URL names no database: {mend}")
    if parsed.host and parsed.host.lower().startswith("%2f"):
        parsed = parsed.set(host=unquote(parsed.host))
    return parsed.set(drivername="postgresql+psycopg")


def make_engine(
    url: str | sa.URL, *, application_name: str = "rosetta", pool_size: int = 10, max_overflow: int = 10
) -> sa.Engine:
    """An engine on the database of `url`; it connects when first used, and its caller disposes of it.

    Args:
        url: such as `settings.database_url`.
        application_name: what `pg_stat_activity` shows.
        pool_size: connections kept open.
        max_overflow: how many more are made under load, and closed after use.

    Raises:
        InvalidRequest: when `url` is not the URL of a Postgres database.
    """
    return sa.create_engine(
        parse_url(url),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,  # a restarted server costs one round trip, not one failed request a connection
        pool_recycle=1800,  # before firewalls forget an idle connection
        pool_use_lifo=True,  # so that the rest idles, and gets recycled
        connect_args={
            "application_name": application_name,
            "connect_timeout": 10,
            "prepare_threshold": 5,  # the few hot statements are planned once a connection
        },
    )


def unreachable(url: str | sa.URL, error: Exception) -> Unavailable:
    """What people read when a connection to `url` failed: where, why, and the mend, without the password."""
    parsed = parse_url(url)
    place = parsed.query.get("host") or f"{parsed.host or 'localhost'}:{parsed.port or 5432}"
    cause = getattr(error, "orig", None) or error
    reason = " ".join(str(cause).split()) or type(cause).__name__
    return Unavailable(
        f"cannot use the database '{parsed.database}' at {place} as '{parsed.username or ''}': {reason} "
        "(see that it runs, and check ROSETTA_DATABASE_URL)"
    )
