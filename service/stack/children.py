"""What a supervisor keeps alive: child processes, and embedded servers."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rosetta.errors import Unavailable
from service.embedded import PostgresServer, RedisServer, processes

GAVE_UP = 70  # exit code of a child that has tried again often enough by itself


class Service(Protocol):
    """Something that is started, watched, started again when it dies, and stopped."""

    name: str

    def start(self) -> None:
        """Starts it. Raises Unavailable when that cannot be."""

    def stop(self) -> None:
        """Ends it and waits until it is gone."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""

    @property
    def hopeless(self) -> bool:
        """Whether starting it again is no use."""

    def last_words(self) -> str:
        """Why it ended, as far as we know."""


class Child:
    """A child process, in a session of its own so that a terminal's Ctrl-C reaches its parent alone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        folder: Path,
        log: Path | None = None,
        pass_fds: Sequence[int] = (),
        patience_s: float = 10.0,
        before_start: Callable[[], object] = lambda: None,
    ) -> None:
        """A child that is not started yet.

        Args:
            name: what people call it.
            command: its command line.
            variables: its environment.
            folder: its working directory.
            log: is appended what it prints; None: it prints where we do.
            pass_fds: file descriptors that it inherits.
            patience_s: seconds it is given to end after SIGTERM.
            before_start: called each time before it starts.
        """
        self.name = name
        self.command = command
        self.variables = variables
        self.folder = folder
        self.log = log
        self.pass_fds = tuple(pass_fds)
        self.patience_s = patience_s
        self.before_start = before_start
        self.process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Starts it."""
        self.before_start()
        output = processes.open_log(self.log).open("ab") if self.log else None
        self._log_start = output.tell() if output else 0
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                cwd=self.folder,
                env=dict(self.variables),
                start_new_session=True,
                pass_fds=self.pass_fds,
            )
        finally:
            if output:
                output.close()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def hopeless(self) -> bool:
        """Whether it has given up by itself."""
        return self.process is not None and self.process.poll() == GAVE_UP

    def stop(self) -> None:
        """Asks it to end; ends it when it takes too long."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(self.patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """Its exit code or the signal that killed it, and the end of its log."""
        code = self.process.poll() if self.process else None
        how = "it never ran" if code is None else f"exit code {code}" if code >= 0 else _signal_name(-code)
        if self.hopeless:
            how = ""
        said = processes.tail(processes.read_from(self.log, self._log_start).splitlines(), 1) if self.log else ""
        where = f"(log: {self.log})" if self.log else ""
        return ": ".join(part for part in (how, f"{said} {where}".strip()) if part)


class Embedded:
    """An embedded server under supervision."""

    def __init__(
        self,
        name: str,
        kind: type[PostgresServer] | type[RedisServer],
        data_dir: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.name = name
        self.kind = kind
        self.data_dir = data_dir
        self.tell = tell
        self.server: PostgresServer | RedisServer | None = None

    def start(self) -> None:
        """Starts the server, or adopts it.

        Raises:
            Unavailable: when it does not start, or not where the others look for it.
        """
        server = self.kind.start(self.data_dir, on_wait=self.tell)
        if self.server and server.url != self.server.url:
            raise Unavailable(f"somebody took the port of {self.name} while it was down: run `rosetta up` again")
        self.server = server

    @property
    def url(self) -> str:
        """Where the server listens; it was started."""
        assert self.server is not None
        return self.server.url

    @property
    def alive(self) -> bool:
        """Whether the server's process lives."""
        return self.server is not None and self.server.alive

    @property
    def hopeless(self) -> bool:
        """Never: a server that died may come back."""
        return False

    def stop(self) -> None:
        """Ends the server, even if we were interrupted while it started."""
        self.kind.end(self.data_dir)

    def last_words(self) -> str:
        """Where to read why it died."""
        return f"(log: {self.server.log})" if self.server else "it never ran"


def _signal_name(number: int) -> str:
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"
