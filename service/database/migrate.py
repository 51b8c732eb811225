"""Migrations: brings a database to the schema that this version of Rosetta knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Lock

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from rosetta.errors import InvalidRequest
from service.database import reader
from service.database.engine import make_engine, unreachable

# Alembic keeps what it works on in a global of its own; between processes a lock in the database does (env.py).
_alembic = Lock()


def upgrade(url: str) -> None:
    """Brings the database to the newest schema, and lets `rosetta_reader` log in; safe to run twice at once.

    Raises:
        Unavailable: when the database cannot be reached.
        InvalidRequest: when it lacks pgvector, its user lacks a right, or it is newer than this program.
    """
    with _engine(url) as engine:
        _run(engine, lambda config: command.upgrade(config, "head"))
        reader.enable(engine, url)


def downgrade(url: str, revision: str) -> None:
    """Takes the database back to `revision`; `base` removes every table.

    Raises:
        Unavailable: when the database cannot be reached.
        InvalidRequest: when there is no such revision.
    """
    with _engine(url) as engine:
        _run(engine, lambda config: command.downgrade(config, revision))


def current(url: str) -> tuple[str | None, str]:
    """The revision of the database (None: empty), and the newest one that this program knows.

    Raises:
        Unavailable: when the database cannot be reached.
    """
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    with _engine(url) as engine, engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision(), head


@contextmanager
def _engine(url: str) -> Iterator[sa.Engine]:
    engine = make_engine(url, application_name="rosetta-migrate", pool_size=1)
    try:
        yield engine
    except sa.exc.OperationalError as error:
        raise unreachable(url, error) from error
    finally:
        engine.dispose()


def _config() -> Config:
    # Found by package, so that an installed wheel needs neither alembic.ini nor a checkout.
    spec = find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise InvalidRequest("the package `migrations` is missing: install rosetta-neurons again")
    config = Config()
    config.set_main_option("script_location", spec.submodule_search_locations[0].replace("%", "%%"))
    return config


def _run(engine: sa.Engine, run: Callable[[Config], None]) -> None:
    config = _config()
    try:
        with _alembic, engine.connect() as connection:
            config.attributes["connection"] = connection
            run(config)
    except CommandError as error:
        raise InvalidRequest(f"{error}: is the database newer than this program? upgrade Rosetta") from error
    except sa.exc.DBAPIError as error:
        raise _explain(error) from error


def _explain(error: sa.exc.DBAPIError) -> Exception:
    """The error in one line where a migration or a missing right says why; else the error itself."""
    cause = error.orig
    if isinstance(cause, psycopg.errors.RaiseException):
        return InvalidRequest(cause.diag.message_primary)
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return InvalidRequest(f"the database user lacks a right that migrations need: {cause.diag.message_primary}")
    return error
