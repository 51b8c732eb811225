from __future__ import annotations

import time

import psycopg
import pytest
from psycopg import errors

from rosetta.errors import InvalidRequest, Unavailable
from service.database import reader
from service.database.engine import make_engine, parse_url

REFUSED = {
    "a table": "SELECT * FROM public.models",
    "a partitioned table": "SELECT * FROM public.sketches",
    "passwords": "SELECT * FROM pg_authid",
    "a file": "SELECT pg_read_file('/etc/passwd')",
    "a folder": "SELECT pg_ls_dir('.')",
    "a program": "COPY (SELECT 1) TO PROGRAM 'id'",
    "a program's output": "DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE t (a text); COPY t FROM PROGRAM ''id'''; END $$",
    "a file to write": "COPY (SELECT 1) TO '/tmp/rosetta-reader'",
    "an insert": "INSERT INTO analytics.models (model) VALUES ('x')",
    "an insert into a table": "INSERT INTO public.jobs (kind) VALUES ('x')",
    "an update": "UPDATE public.models SET name = 'x'",
    "a delete": "DELETE FROM public.comparisons",
    "a truncate": "TRUNCATE public.matches",
    "a delete in a CTE": "WITH gone AS (DELETE FROM public.models RETURNING *) SELECT * FROM gone",
    "a locking select": "SELECT * FROM public.models FOR UPDATE",
    "a temporary table": "CREATE TEMP TABLE t AS SELECT 1",
    "a table of its own": "CREATE TABLE public.t (a int)",
    "a schema": "CREATE SCHEMA s",
    "a function": "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "an extension": "CREATE EXTENSION dblink",
    "a trigger function": "SELECT public.delete_matches_of_comparisons()",
    "another role": "SET ROLE rosetta",
    "another session": "SET SESSION AUTHORIZATION rosetta",
    "another role by function": "SELECT set_config('role', 'rosetta', false)",
    "another session by function": "SELECT set_config('session_authorization', 'rosetta', false)",
    "rights for itself": "GRANT SELECT ON public.models TO rosetta_reader",
    "a right of its own in DO": "DO $$ BEGIN EXECUTE 'ALTER ROLE rosetta_reader PASSWORD ''mine'''; END $$",
    "its own password": "ALTER ROLE rosetta_reader PASSWORD 'mine'",
    "its own limits": "ALTER ROLE rosetta_reader SET statement_timeout = 0",
    "a new role": "CREATE ROLE r",
    "a large object": "SELECT lo_from_bytea(0, 'x')",
    "a server setting": "ALTER SYSTEM SET log_statement = 'none'",
    "others' sessions": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rosetta'",
    "a transaction that writes": "DO $$ BEGIN COMMIT; SET transaction_read_only = off; END $$",
    "a transaction made writable": "DO $$ BEGIN SET LOCAL transaction_read_only = off; END $$",
    "a loopback": "SELECT * FROM dblink('dbname=rosetta', 'SELECT 1') AS t (a int)",
}


def read(url: str, statement: str):
    """As `rosetta sql` does: one statement, one connection."""
    with reader.connect(url) as connection:
        return connection.execute(statement, prepare=True).fetchall()


@pytest.fixture(scope="module")
def neighbour(engine):
    """Somebody else is connected, whom the reader could end."""
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize("what", REFUSED)
def test_is_refused_by_postgres(database_url, neighbour, what):
    refusals = (
        errors.InsufficientPrivilege,
        errors.ReadOnlySqlTransaction,
        errors.ActiveSqlTransaction,
        errors.InvalidTransactionTermination,
        errors.UndefinedFunction,
        errors.FeatureNotSupported,
        errors.ObjectNotInPrerequisiteState,
    )
    with pytest.raises(refusals):
        read(database_url, REFUSED[what])


@pytest.mark.parametrize(
    "statement", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE models", "COMMIT; SELECT 1", "RESET ROLE; SELECT 1"]
)
def test_one_statement_only(database_url, engine, statement):
    with pytest.raises(errors.SyntaxError, match="multiple commands"):
        read(database_url, statement)


@pytest.mark.parametrize("statement", ["RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION"])
def test_there_is_nobody_to_go_back_to(database_url, engine, statement):
    with reader.connect(database_url) as connection:
        connection.execute(statement, prepare=True)
        assert connection.execute("SELECT current_user, session_user").fetchone() == (reader.ROLE,) * 2
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM public.models")


def test_even_a_session_that_writes_has_nowhere_to(database_url, engine):
    """A person who logs in with psql may lift the read-only setting; rights still hold."""
    with psycopg.connect(reader.reader_url(database_url), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in (
            "CREATE TEMP TABLE t (a int)",
            "CREATE TABLE public.t (a int)",
            "CREATE SCHEMA s",
            "INSERT INTO public.models (name) VALUES ('x')",
            "DELETE FROM analytics.models",
            "SELECT nextval('public.models_id_seq')",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)


def test_it_can_read_nothing_but_the_views(database_url, engine):
    with reader.connect(database_url) as connection:
        readable = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') "
            "AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND (CASE WHEN c.relkind = 'S' "
            "THEN has_sequence_privilege(c.oid, 'SELECT, USAGE, UPDATE') "
            "ELSE has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES') END)"
        ).fetchall()
        assert {schema for schema, _ in readable} == {"analytics"}
        writable = connection.execute(
            "SELECT oid::regclass FROM pg_class WHERE relnamespace = 'analytics'::regnamespace "
            "AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"
        ).fetchall()
        assert writable == []
        powers = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles "
            "WHERE rolname = current_user"
        ).fetchone()
        assert powers == (False,) * 5


def test_a_long_statement_is_stopped(database_url, engine, monkeypatch):
    monkeypatch.setitem(reader._SETTINGS, "statement_timeout", "300ms")
    reader.enable(engine, database_url)
    try:
        for statement in (
            "SELECT pg_sleep(30)",
            "SELECT set_config('statement_timeout', '0', false), pg_sleep(30)",
            "SELECT count(*) FROM generate_series(1, 1000000000)",
            "DO $$ BEGIN LOOP NULL; END LOOP; END $$",
        ):
            begun = time.monotonic()
            with pytest.raises(errors.QueryCanceled, match="statement timeout"):
                read(database_url, statement)
            assert time.monotonic() - begun < 10
    finally:
        monkeypatch.undo()
        reader.enable(engine, database_url)
    with reader.connect(database_url) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("10s",)
        assert connection.execute("SHOW temp_file_limit").fetchone() == ("2GB",)


def test_its_password_lets_nobody_else_in(database_url, engine):
    reader_url = parse_url(reader.reader_url(database_url))
    assert reader_url.password != parse_url(database_url).password
    for password in ("", "wrong", parse_url(database_url).password):
        url = reader_url.set(drivername="postgresql", password=password).render_as_string(hide_password=False)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url)


def test_an_owner_without_password_gives_a_reader_without(database_url, engine):
    url = parse_url(database_url)._replace(password=None).render_as_string(hide_password=False)
    assert parse_url(reader.reader_url(url)).password is None
    reader.enable(engine, url)
    try:
        with pytest.raises(Unavailable, match="as 'rosetta_reader'"):
            reader.connect(database_url)
        with engine.connect() as connection:
            assert connection.exec_driver_sql(
                "SELECT rolpassword FROM pg_authid WHERE rolname = 'rosetta_reader'"
            ).one() == (None,)
    finally:
        reader.enable(engine, database_url)
    reader.connect(database_url).close()


def test_a_reader_with_more_rights_is_refused(database_url, engine):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for more, less in (
            ("ALTER ROLE rosetta_reader CREATEDB", "ALTER ROLE rosetta_reader NOCREATEDB"),
            ("GRANT pg_read_all_data TO rosetta_reader", "REVOKE pg_read_all_data FROM rosetta_reader"),
        ):
            connection.exec_driver_sql(more)
            try:
                with pytest.raises(InvalidRequest, match="may do more than read"):
                    reader.enable(engine, database_url)
            finally:
                connection.exec_driver_sql(less)


def test_the_statement_log_never_sees_the_password(postgres_server, database_url, engine):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ALTER ROLE rosetta SET log_statement = 'all'")
        logged = make_engine(database_url)
        try:
            reader.enable(logged, database_url)
        finally:
            logged.dispose()
            connection.exec_driver_sql("ALTER ROLE rosetta RESET log_statement")
    said = postgres_server.log.read_text()
    assert "ALTER ROLE" in said
    assert parse_url(reader.reader_url(database_url)).password not in said
