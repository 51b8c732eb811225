"""What a data directory says about the stack that runs on it: `up.lock` and `stack.json`."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

import psutil

from rosetta.local import STATE_FILE, read_state
from service.embedded import processes

_LOCK_FILE = "up.lock"
_CLOCK_TOLERANCE_S = 2.0  # a process's creation time shifts when the machine's clock is set


@dataclass(frozen=True)
class State:
    """A running stack. The URLs hold passwords: only we may read the file."""

    pid: int
    url: str
    database_url: str
    broker_url: str
    version: str

    def write(self, data_dir: Path) -> None:
        """Says that the stack is up."""
        draft = data_dir / f"{STATE_FILE}.new"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file)
        draft.replace(data_dir / STATE_FILE)


class Lock:
    """The right to run a stack on a data directory; it goes with the process, however that dies."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / _LOCK_FILE
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Whether it is ours now; the file says who we are."""
        file = self.path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate(0)
        json.dump({"pid": os.getpid(), "created": psutil.Process().create_time()}, file)
        file.flush()
        self._file = file
        return True

    def release(self) -> None:
        """Lets others run a stack here."""
        if self._file:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def owner(data_dir: Path) -> psutil.Process | None:
    """The process that runs a stack on this data directory: alive, and the very one that wrote the lock."""
    try:
        said = json.loads((data_dir / _LOCK_FILE).read_text())
        process = processes.find(int(said["pid"]))
        if process and abs(process.create_time() - float(said["created"])) < _CLOCK_TOLERANCE_S:
            return process
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        pass
    return None


def running(data_dir: Path) -> State | None:
    """The stack that is up on this data directory; None when there is none, or it still starts."""
    process, said = owner(data_dir), read_state(data_dir)
    if process is None or said is None or said.get("pid") != process.pid:
        return None
    try:
        return State(**{field.name: said[field.name] for field in fields(State)})
    except KeyError:
        return None


def remove(data_dir: Path) -> None:
    """Says that no stack is up."""
    (data_dir / STATE_FILE).unlink(missing_ok=True)
