"""A service on loopback, in a thread, over a zoo that was mined on paper."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import uuid4

import pytest
import sqlalchemy as sa
import uvicorn

from rosetta import Client, cli
from service import jobs
from service.api.app import create_app
from service.settings import Settings
from tests.integration.api import zoo


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The address of the service while it runs in a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def service_url(engine: sa.Engine, settings: Settings) -> Iterator[str]:
    with engine.begin() as conn:
        zoo.seed(conn)
    with serving(settings) as url:
        yield url


@pytest.fixture(scope="module")
def client(service_url: str) -> Iterator[Client]:
    with Client(service_url) as client:
        yield client


@pytest.fixture
def rosetta(
    service_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs a command line on the service."""
    monkeypatch.setenv("ROSETTA_URL", service_url)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = cli.run(list(arguments))
        return Ran(code, *capsys.readouterr())

    return run


class Working:
    """A worker's part in a job, played step by step."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self.job = jobs.create(engine, "mine", f"test {uuid4()}", {"probe": "faces", "models": ["a", "b"]}, [{}])

    def begin(self) -> Working:
        claim = jobs.claim(self._engine, self.job, 0, uuid4(), 60.0)
        assert claim
        self._claim = claim
        return self

    def say(self, done: int) -> None:
        assert jobs.heartbeat(self._engine, self._claim, done, 100, "halfway")

    def finish(self) -> None:
        with jobs.publish(self._engine, self._claim, {"pairs": 1}):
            pass

    def fail(self, message: str) -> None:
        jobs.fail(self._engine, self._claim, "invalid_request", message)


@pytest.fixture
def working(engine: sa.Engine, service_url: str) -> Working:
    return Working(engine)
