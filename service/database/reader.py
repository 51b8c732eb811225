"""The role `rosetta_reader`: a login that can read the views of `analytics`, and nothing else.

`sql` runs as this role, and not as the owner under `SET ROLE`: no statement can get back to more rights.
"""

from __future__ import annotations

import hashlib
import hmac
import time

import psycopg
import sqlalchemy as sa
from psycopg import sql

from rosetta.errors import InvalidRequest
from service.database.engine import parse_url, unreachable

ROLE = "rosetta_reader"
CONNECTIONS = 20  # of the server's: the rest stays with the service
_SETTINGS = {
    "statement_timeout": "10s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "30s",
    "idle_session_timeout": "1h",
    "default_transaction_read_only": "on",
    "search_path": "analytics",
    # `analytics.matches` joins nine tables: let the planner order them and those of a question about it.
    "join_collapse_limit": "12",
    "from_collapse_limit": "12",
    "jit": "off",
}
_POWERS = """
SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
  OR EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid)
FROM pg_roles r WHERE rolname = %s"""
_ATTEMPTS = 10


def reader_url(url: str) -> str:
    """The libpq URL by which the reader logs in to the database of `url`, the owner's.

    Its password is derived from the owner's. An owner without one gives a reader without one: such a server
    decides by its pg_hba.conf, and a password that anybody can compute would open it.

    Raises:
        InvalidRequest: when `url` is not the URL of a Postgres database.
    """
    owner = parse_url(url)
    reader = owner.set(drivername="postgresql", username=ROLE)
    reader = reader._replace(password=_password(owner))
    return reader.render_as_string(hide_password=False)


def connect(url: str) -> psycopg.Connection:
    """A connection of the reader to the database of `url`, the owner's; its transactions are read-only.

    Give it one statement of a user, by `execute(statement, prepare=True)` (the extended protocol refuses a
    second one), and close it: a statement may change the session, and what it locked ends with that. It runs
    inside a transaction block, so that a DO cannot commit and begin a transaction that writes.

    Raises:
        Unavailable: when the reader cannot log in.
    """
    try:
        connection = psycopg.connect(reader_url(url), application_name="rosetta-sql", connect_timeout=10)
    except psycopg.OperationalError as error:
        raise unreachable(reader_url(url), error) from error
    connection.read_only = True
    return connection


def enable(engine: sa.Engine, url: str) -> None:
    """Lets the reader log in to the database of `url`, within limits; done at every migration.

    Args:
        engine: on the database, as its owner.
        url: the owner's, whose password the reader's is derived from.

    Raises:
        InvalidRequest: when the role has more rights than reading, or the owner may not change it.
    """
    password = _password(parse_url(url))
    for attempt in range(_ATTEMPTS):
        try:
            with engine.begin() as connection:
                driver = connection.connection.driver_connection
                assert isinstance(driver, psycopg.Connection)
                _enable(driver, password)
            return
        except psycopg.errors.InternalError_:
            # "tuple concurrently updated": the role is the server's, another database's migration changes it.
            if attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(0.05 * (attempt + 1))
        except psycopg.errors.InsufficientPrivilege as error:
            owner = sql.Identifier(engine.url.username or "").as_string()
            raise InvalidRequest(
                f"the database user may not change the role {ROLE}: let an administrator run "
                f"ALTER ROLE {owner} CREATEROLE; GRANT {ROLE} TO {owner} WITH ADMIN OPTION"
            ) from error


def _enable(driver: psycopg.Connection, password: str | None) -> None:
    if driver.execute(_POWERS, [ROLE]).fetchone() == (True,):
        raise InvalidRequest(
            f"the role {ROLE}, as which `sql` runs, may do more than read: let an administrator revoke it"
        )
    role = sql.Identifier(ROLE)
    secret = sql.Literal(_verifier(driver, password)) if password else sql.SQL("NULL")
    statements: list[sql.Composed | sql.SQL] = [
        sql.SQL("ALTER ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}").format(role, sql.Literal(CONNECTIONS), secret),
        *(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(name), sql.Literal(value))
            for name, value in _SETTINGS.items()
        ),
        # What Postgres gives to everybody: a place to write.
        sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(driver.info.dbname)),
        sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    ]
    for statement in statements:
        driver.execute(statement)
    superuser = driver.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if superuser == (True,):
        # Only a superuser may say how much room sorting may take on the disk.
        driver.execute(sql.SQL("ALTER ROLE {} SET temp_file_limit = '2GB'").format(role))


def _password(owner: sa.URL) -> str | None:
    if not owner.password:
        return None
    return hmac.new(str(owner.password).encode(), ROLE.encode(), hashlib.sha256).hexdigest()


def _verifier(driver: psycopg.Connection, password: str) -> str:
    # The server's log may keep statements, so it never sees the password itself.
    return driver.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
