from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from rosetta.errors import InvalidRequest, Unavailable
from service.database import migrate, sketches
from service.database.engine import parse_url
from service.database.schema import metadata
from tests.integration.database import rows

ROOT = Path(__file__).parents[3]


@pytest.fixture
def empty(empty_database_url) -> str:
    return empty_database_url


def relations(url: str) -> set[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        return set(
            connection.execute(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname IN ('public', 'analytics') AND c.relname <> 'alembic_version' "
                "AND c.relname <> 'alembic_version_pkc'"
                "UNION SELECT nspname, '' FROM pg_namespace WHERE nspname = 'analytics'"
                "UNION SELECT n.nspname, proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
                "WHERE n.nspname = 'public' AND proname LIKE 'delete_matches%'"
            ).fetchall()
        )


def test_up_down_up(empty):
    before, (revision, head) = relations(empty), migrate.current(empty)
    assert revision is None
    migrate.upgrade(empty)
    assert migrate.current(empty) == (head, head)
    up = relations(empty)
    migrate.downgrade(empty, "base")
    assert migrate.current(empty) == (None, head)
    assert relations(empty) == before
    migrate.upgrade(empty)
    assert relations(empty) == up


def test_each_step_goes_down_and_up_again(empty):
    _, head = migrate.current(empty)
    for number in range(int(head), 0, -1):
        migrate.upgrade(empty)
        migrate.downgrade(empty, f"{number - 1:04d}" if number > 1 else "base")
    migrate.upgrade(empty)


def test_models_and_schema_agree(engine):
    with engine.begin() as connection:
        sketches.ensure_partition(connection, rows.add_probe_set(connection, "faces"))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_server_default": True,
                "include_name": lambda name, kind, _: kind != "table" or not name.startswith("sketches_p"),
            },
        )
        assert compare_metadata(context, metadata) == []


UPGRADE = "import sys; from service.database import migrate; migrate.upgrade(sys.argv[1])"


def upgrade_at_once(urls: list[str]) -> None:
    """One process for each URL."""
    running = [
        subprocess.Popen([sys.executable, "-c", UPGRADE, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for url in urls
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(urls), said


def test_processes_may_migrate_at_once(empty):
    upgrade_at_once([empty] * 3)
    revision, head = migrate.current(empty)
    assert revision == head


def test_threads_may_migrate_at_once(empty):
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate.upgrade, [empty] * 3))
    revision, head = migrate.current(empty)
    assert revision == head


def test_databases_of_one_server_may_migrate_at_once(postgres_server):
    names = [f"twin_{uuid4().hex}" for _ in range(3)]
    base = parse_url(postgres_server.url)
    urls = [base.set(database=name).render_as_string(hide_password=False) for name in names]
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}")
        try:
            upgrade_at_once(urls)
        finally:
            for name in names:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_failing_migration_leaves_nothing(empty):
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA analytics")  # in the way of 0006
    before = relations(empty)
    with pytest.raises(sa.exc.ProgrammingError, match="already exists"):
        migrate.upgrade(empty)
    assert relations(empty) == before
    assert migrate.current(empty)[0] is None


def test_a_user_without_rights_is_told_what_to_ask_for(empty):
    with psycopg.connect(empty, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"CREATE ROLE plain_{name} LOGIN PASSWORD 'x'")
        connection.execute(f"ALTER DATABASE {name} OWNER TO plain_{name}")
        plain = parse_url(empty).set(username=f"plain_{name}", password="x")
        plain = plain.render_as_string(hide_password=False)
        try:
            with pytest.raises(InvalidRequest, match=r"may not create the extension vector.*CREATE EXTENSION"):
                migrate.upgrade(plain)
            connection.execute("CREATE EXTENSION vector")
            with pytest.raises(
                InvalidRequest, match=r"may not change the role.*ALTER ROLE .* CREATEROLE; GRANT rosetta_reader TO"
            ):
                migrate.upgrade(plain)
            connection.execute(f"ALTER ROLE plain_{name} CREATEROLE")
            connection.execute(f"GRANT rosetta_reader TO plain_{name} WITH ADMIN OPTION")
            migrate.upgrade(plain)
        finally:
            connection.execute(f"ALTER DATABASE {name} OWNER TO CURRENT_USER")
            connection.execute(f"REASSIGN OWNED BY plain_{name} TO CURRENT_USER")
            connection.execute(f"DROP OWNED BY plain_{name}")
            connection.execute(f"DROP ROLE plain_{name}")


def test_a_newer_database_is_refused(empty):
    migrate.upgrade(empty)
    with psycopg.connect(empty) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InvalidRequest, match=r"9999.*newer than this program"):
        migrate.upgrade(empty)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://nobody@127.0.0.1:1/store", "cannot use the database 'store' at 127.0.0.1:1"),
        ("postgresql://x:hidden@/store?host=/nowhere", "cannot use the database 'store' at /nowhere"),
    ],
)
def test_an_unreachable_database_is_named(url, message):
    with pytest.raises(Unavailable, match=message) as caught:
        migrate.upgrade(url)
    assert "hidden" not in caught.value.message


def test_a_partition_serves_deletes(engine):
    with engine.begin() as connection:
        model = rows.add_model(connection, "deleted", 4)
        other = rows.add_model(connection, "other", 4)
        probe_set = rows.add_probe_set(connection, "deletes")
        for one in (model, other):
            rows.add_profile(connection, probe_set, one, 4)
        pair = rows.add_pair(connection, probe_set, model, other, 4, 4)
    count = sa.text("SELECT count(*) FROM matches WHERE comparison_id IN (:there, :back)")
    with engine.begin() as connection:
        assert connection.scalar(count, pair._asdict()) == 24
        # The cascade from a model reaches the comparisons of both directions, and their matches by the trigger.
        connection.execute(sa.text("DELETE FROM models WHERE id = :id"), {"id": model})
        assert connection.scalar(count, pair._asdict()) == 0
        assert connection.scalar(sa.text("SELECT count(*) FROM comparisons WHERE id = :back"), {"back": pair.back}) == 0


def test_alembic_itself_works_with_the_ini_file(empty):
    alembic = [sys.executable, "-m", "alembic", "-x", f"url={empty}"]
    for words in (["upgrade", "head"], ["check"], ["downgrade", "base"]):
        done = subprocess.run([*alembic, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    printed = subprocess.run(
        [*alembic, "upgrade", "head", "--sql"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute(printed.stdout)
    assert migrate.current(empty)[0] == migrate.current(empty)[1]


def test_migrations_are_found_outside_a_checkout(empty, tmp_path):
    code = "import sys; from service.database import migrate; print(migrate.current(sys.argv[1])[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, empty],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == migrate.current(empty)[1]
