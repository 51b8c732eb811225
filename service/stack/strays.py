"""Processes of a stack that outlived it: found by a mark in their environment, and ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from service.embedded import processes

MARK = "ROSETTA_STACK"  # the children of a stack, and theirs, carry it with the data directory's identity
_STOP = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


def find(data_dir: Path, title: Callable[[str], bool] = lambda _: True) -> list[psutil.Process]:
    """Our own living processes that carry the mark of this data directory's stack."""
    identity = processes.identity(data_dir)
    found = []
    for process in processes.find_by_title(os.geteuid(), title):
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == identity:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # it is gone, or not ours to look into
    return found


def end(data_dir: Path, title: Callable[[str], bool] = lambda _: True) -> int:
    """How many there were; they are gone now."""
    found = find(data_dir, title)
    processes.end(found, _STOP)
    return len(found)
