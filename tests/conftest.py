"""Real servers for the tests: one Postgres and one Redis a session, a fresh database for each module."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
import sqlalchemy as sa

from service.database import migrate, reader
from service.database.engine import make_engine
from service.embedded import PostgresServer, RedisServer
from service.settings import Settings

_TEMPLATE = "migrated"
_connect = socket.socket.connect


def _connect_to_loopback(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]
        if host not in ("localhost", "") and not ip_address(host).is_loopback:
            raise OSError(f"a test tried to reach {host}: tests talk to loopback only")
    _connect(self, address)


def pytest_configure(config: pytest.Config) -> None:
    """Keeps tests on this machine and away from its settings; SIGTERM, too, ends the servers."""
    for name in [name for name in os.environ if name.startswith("ROSETTA_")]:
        del os.environ[name]
    os.environ["HF_HUB_OFFLINE"] = "1"
    socket.socket.connect = _connect_to_loopback  # type: ignore[method-assign]
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _url(server: PostgresServer, database: str) -> str:
    return sa.make_url(server.url).set(database=database).render_as_string(hide_password=False)


def _administer(server: PostgresServer, statement: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres server whose database `migrated` is the template of the others."""
    with (
        tempfile.TemporaryDirectory(prefix="rosetta-test-") as folder,
        PostgresServer.start(Path(folder), durable=False) as server,
    ):
        _administer(server, f"CREATE DATABASE {_TEMPLATE}")
        migrate.upgrade(_url(server, _TEMPLATE))
        yield server


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> str:
    """The owner's URL of a fresh database without any table."""
    name = f"empty_{uuid4().hex}"
    _administer(postgres_server, f"CREATE DATABASE {name}")
    return _url(postgres_server, name)


@pytest.fixture(scope="module")
def database_url(postgres_server: PostgresServer) -> str:
    """The owner's URL of a fresh, migrated database; it goes with the server, for dropping it takes a while."""
    name = f"test_{uuid4().hex}"
    _administer(postgres_server, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    return _url(postgres_server, name)


@pytest.fixture(scope="module")
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on the module's fresh database."""
    engine = make_engine(database_url)
    reader.enable(engine, database_url)  # rights on a database do not come with its template
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server on a Unix socket."""
    with (
        tempfile.TemporaryDirectory(prefix="rosetta-test-") as folder,
        RedisServer.start(Path(folder), durable=False) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def redis_url(redis_server: RedisServer) -> str:
    """The broker URL of an empty Redis."""
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="module")
def settings(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a service on the module's database, with a data directory of its own."""
    return Settings(
        database_url=database_url, broker_url=redis_url, data_dir=tmp_path_factory.mktemp("data"), device="cpu"
    )
