"""`rosetta up` and `rosetta down`: the whole service on this machine.

`up` is the parent of everything: the embedded servers (which outlive it if it is killed, and are adopted by the next),
and two child processes, the worker's supervisor and the API. It starts again what dies, and stops all in reverse.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rosetta.errors import RosettaError, Unavailable
from service.embedded import PostgresServer, RedisServer, processes
from service.settings import Settings
from service.stack import configuration, listening, state, strays
from service.stack.stack import READY_PATIENCE_S, Stack
from service.stack.state import Lock, State
from service.stack.supervisor import Tell

_STOP_PATIENCE_S = 180.0
_FAILURE = "error: "  # begins the line in which the background process says why it ends

OnReady = Callable[[State, bool], None]


def up(
    settings: Settings,
    *,
    host: str = listening.DEFAULT_HOST,
    port: int | None = None,
    detach: bool = False,
    tell: Tell = lambda _: None,
    on_ready: OnReady = lambda _state, _already: None,
) -> State:
    """Runs the stack until SIGINT or SIGTERM; with `detach`, or when it runs already, returns when it is up.

    Args:
        settings: with absolute paths (`configuration.load`).
        host: address to listen on; beyond loopback only with ROSETTA_API_KEYS.
        port: port to listen on; None: 8000, or any free one.
        detach: whether to run it in the background.
        tell: is told what goes on.
        on_ready: is given the running stack, and whether it ran before.

    Raises:
        InvalidRequest: the address may not be listened on.
        Conflict: the port that was asked for is taken.
        Unavailable: a server does not start, or a part of the stack keeps dying.
    """
    listening.check_allowed(host, settings)
    lock = Lock(settings.data_dir)
    with processes.writable(settings.data_dir):
        free = lock.acquire()
    if not free:
        found = _await_other(settings.data_dir, tell)
    elif detach:
        lock.release()  # the process in the background takes it
        found = _up_detached(settings, host, port, tell)
    else:
        return _up_here(lock, settings, host, port, tell, on_ready)
    on_ready(found, not free)
    return found


def down(data_dir: Path, *, tell: Tell = lambda _: None) -> bool:
    """Whether anything ran on this data directory; nothing does now. Ends only what is provably ours.

    Raises:
        Unavailable: when it does not stop, or runs where we cannot reach it.
    """
    if not data_dir.is_dir():
        return False
    process = state.owner(data_dir)
    if process:
        tell(f"stopping the stack (process {process.pid})")
        if not processes.end([process], [(signal.SIGTERM, _STOP_PATIENCE_S)]):
            raise Unavailable(f"the stack (process {process.pid}) does not stop; its logs are in {data_dir / 'logs'}")
    with processes.writable(data_dir):
        lock = Lock(data_dir)
        if not lock.acquire():
            raise Unavailable(
                f"a stack runs on {data_dir}, but not as a process we can see: stop it where it was started "
                "(in another container?)"
            )
        try:
            return _clear(data_dir, tell) or process is not None
        finally:
            lock.release()


def _clear(data_dir: Path, tell: Tell) -> bool:
    """Whether a killed stack had left anything; it is gone now."""
    left = strays.end(data_dir) > 0
    left |= RedisServer.end(data_dir)
    left |= PostgresServer.end(data_dir)
    state.remove(data_dir)
    if left:
        tell("stopped what a killed stack had left behind")
    return left


def _up_here(lock: Lock, settings: Settings, host: str, port: int | None, tell: Tell, on_ready: OnReady) -> State:
    """The stack that ran in this process until it was told to stop."""
    found = None
    try:
        with _signals_as_interrupts():
            if strays.end(settings.data_dir):  # first of all: it may hold the port
                tell("ended what a killed stack had left behind")
            stack = Stack(settings, listening.listen(host, port), tell)
            try:
                found = stack.start()
                on_ready(found, False)
                stack.watch()
            except KeyboardInterrupt:
                tell("stopping")
            finally:
                with _signals_ignored():
                    stack.stop()
    finally:
        lock.release()
    if found is None:
        raise KeyboardInterrupt
    return found


def _up_detached(settings: Settings, host: str, port: int | None, tell: Tell) -> State:
    """The stack that a background process runs, when it is up. Ctrl-C ends that process too."""
    data_dir = settings.data_dir
    log = processes.open_log(data_dir / "logs" / "up.log")
    told = log.stat().st_size
    command = [sys.executable, "-m", "service.local", host, str(port or "")]
    pid = processes.launch(command, log, data_dir, variables=configuration.variables(settings))
    failure = "the stack ended before it was up"
    try:
        while True:
            lives = processes.find(pid) is not None  # before we look, so that its last words are not missed
            if (found := state.running(data_dir)) and (found.pid == pid or not lives):
                return found
            said = processes.read_from(log, told)
            for line in said.splitlines():
                if line.startswith(_FAILURE):
                    failure = line.removeprefix(_FAILURE)
                else:
                    tell(line)
            told += len(said.encode())
            if not lives:
                raise Unavailable(f"{failure} (log: {log})")
            time.sleep(0.05)
    except KeyboardInterrupt:
        if process := processes.find(pid):
            processes.end([process], [(signal.SIGTERM, _STOP_PATIENCE_S)])
        raise


def _await_other(data_dir: Path, tell: Tell) -> State:
    """The stack of another process on this data directory, when it is up."""
    told, deadline = False, time.monotonic() + READY_PATIENCE_S
    while time.monotonic() < deadline:
        if found := state.running(data_dir):
            return found
        process = state.owner(data_dir)
        if process and not told:
            tell(f"another `rosetta up` (process {process.pid}) is starting or stopping here; waiting for it")
            told = True
        lock = Lock(data_dir)
        if lock.acquire():
            lock.release()
            raise Unavailable("another `rosetta up` has just ended on this data directory: try again")
        time.sleep(0.1)
    raise Unavailable(
        f"another process holds {data_dir} and its stack does not come up: `rosetta down` stops it, "
        "or choose another data directory (--data)"
    )


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """SIGTERM, and a terminal that closes, end us like Ctrl-C does; what is ignored (nohup) stays so."""
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """While we stop, which takes seconds, a second Ctrl-C must not leave half of the stack running."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str]) -> int:
    """The exit code of `python -m service.local HOST PORT`, the process behind `--detach`."""
    host, port = arguments
    try:
        up(
            configuration.load(),
            host=host,
            port=int(port) if port else None,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except RosettaError as error:
        print(f"{_FAILURE}{error.message}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
