"""The processes of a stack: started in the order in which they need each other, watched, stopped in reverse."""

from __future__ import annotations

import os
import socket
import sys
import time
from importlib.metadata import version

import httpx

from rosetta.errors import Unavailable
from service.database import migrate
from service.embedded import PostgresServer, RedisServer, processes
from service.settings import Settings
from service.stack import configuration, listening, state, strays
from service.stack.children import Child, Embedded
from service.stack.state import State
from service.stack.supervisor import Supervisor, Tell

READY_PATIENCE_S = 120.0
_CHECK_S = 0.5


class Stack:
    """One stack, while it runs in this process."""

    def __init__(self, settings: Settings, listener: socket.socket, tell: Tell) -> None:
        self.settings = settings
        self.listener = listener
        self.tell = tell
        self.supervisor = Supervisor(tell)
        self.logs = settings.data_dir / "logs"

    def start(self) -> State:
        """The stack, when all of it answers."""
        data_dir = self.settings.data_dir
        database_url = self.settings.database_url or self._embedded("Postgres", PostgresServer)
        broker_url = self.settings.broker_url or self._embedded("Redis", RedisServer)
        self.tell("migrating the database")
        migrate.upgrade(database_url)
        self.settings = self.settings.model_copy(update={"database_url": database_url, "broker_url": broker_url})
        self.tell("starting the worker and the API")
        self.supervisor.start(self._child("worker", "service.stack.worker", patience_s=15))
        self.supervisor.start(self._child("API", "service.stack.api", str(self.listener.fileno())))
        url = listening.url_of(self.listener)
        self._wait_until_ready(url)
        found = State(os.getpid(), url, database_url, broker_url, version("rosetta-neurons"))
        found.write(data_dir)
        return found

    def watch(self) -> None:
        """Keeps the stack up; never returns."""
        while True:
            time.sleep(_CHECK_S)
            self.supervisor.check()

    def stop(self) -> None:
        """Ends everything, and says that no stack is up."""
        state.remove(self.settings.data_dir)
        self.listener.close()
        self.supervisor.stop()
        strays.end(self.settings.data_dir)  # a child that we were about to note when we were interrupted

    def _embedded(self, name: str, kind: type[PostgresServer] | type[RedisServer]) -> str:
        self.tell(f"starting {name}")
        service = Embedded(name, kind, self.settings.data_dir, self.tell)
        self.supervisor.start(service)
        return service.url

    def _child(self, name: str, module: str, *arguments: str, patience_s: float = 10.0) -> Child:
        data_dir = self.settings.data_dir
        mark = {strays.MARK: processes.identity(data_dir)}
        # A worker whose supervisor was killed must not stay beside the next one: it holds models in memory.
        before = (lambda: strays.end(data_dir, lambda title: "workers.app" in title)) if name == "worker" else None
        return Child(
            name,
            [sys.executable, "-m", module, *arguments],
            configuration.variables(self.settings, **mark),
            folder=data_dir,  # not a person's: a folder `service` there must not be taken for ours
            log=self.logs / f"{name.lower()}.log",
            pass_fds=(self.listener.fileno(),) if name == "API" else (),
            patience_s=patience_s,
            before_start=before or (lambda: None),
        )

    def _wait_until_ready(self, url: str) -> None:
        said, deadline = "nothing", time.monotonic() + READY_PATIENCE_S
        with httpx.Client(base_url=url, trust_env=False, timeout=5.0) as client:
            while time.monotonic() < deadline:
                self.supervisor.check()
                try:
                    response = client.get("/readyz")
                except httpx.HTTPError as error:
                    said = str(error)
                else:
                    if response.is_success:
                        return
                    said = f"{response.status_code} {response.text}"
                time.sleep(0.05)
        raise Unavailable(
            f"the API is not ready after {READY_PATIENCE_S:.0f} s; it said: {said} (log: {self.logs / 'api.log'})"
        )
