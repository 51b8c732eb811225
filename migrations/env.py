"""Runs the migrations on the caller's connection, else on `-x url=...`, else on ROSETTA_DATABASE_URL."""

from __future__ import annotations

import re
from logging.config import fileConfig

import sqlalchemy as sa
from alembic import context

from rosetta.errors import InvalidRequest
from service.database.engine import make_engine
from service.database.schema import metadata
from service.settings import get_settings

# Two processes may migrate at once: the second waits for this lock, and finds nothing left to do.
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtext('rosetta migrate'))")
_PARTITION = re.compile(r"sketches_p\d+")


def _include_name(name: str | None, kind: str, parents: object) -> bool:
    """Whether autogenerate looks at it: partitions come and go with the probe sets, not with migrations."""
    return not (kind == "table" and name is not None and _PARTITION.fullmatch(name))


def _run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, include_name=_include_name)
    with context.begin_transaction():
        connection.execute(_LOCK)
        context.run_migrations()


def _run_on_own_engine() -> None:
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    url = context.get_x_argument(as_dictionary=True).get("url") or get_settings().database_url
    if not url:
        raise InvalidRequest("set ROSETTA_DATABASE_URL, or name a database: alembic -x url=postgresql://...")
    engine = make_engine(url, application_name="rosetta-migrate")
    try:
        with engine.connect() as connection:
            _run(connection)
    finally:
        engine.dispose()


def _print_sql() -> None:
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # else every % would be doubled
        target_metadata=metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _print_sql()
elif connection := context.config.attributes.get("connection"):
    _run(connection)
else:
    _run_on_own_engine()
