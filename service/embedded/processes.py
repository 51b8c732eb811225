"""Processes that outlive us: launch them, recognise them after a crash, end them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from rosetta.errors import Unavailable

_LAUNCHER = Path(__file__).with_name("launch.py")
_LOG_LIMIT = 16 * 2**20  # bytes; a longer log is set aside when its server starts


@dataclass(frozen=True)
class Account:
    """The user that a server runs as."""

    name: str
    uid: int
    gid: int


def server_account(folder: Path) -> Account | None:
    """The user that Postgres runs as when we are root, which it refuses to be; None for other users.

    The folder's owner if it exists (an ordinary user made it, and now comes root), else a system user.

    Raises:
        Unavailable: when the machine has no such user.
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and (owner := folder.stat()).st_uid:
        return Account(_name_of(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise Unavailable(
        "Postgres refuses to run as root and this machine has neither a user 'postgres' nor 'nobody': "
        "create one (useradd --system postgres), or run as an ordinary user"
    )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def open_to_all(*paths: Path) -> bool:
    """Whether any user may walk to each of these paths."""
    return all(folder.stat().st_mode & 0o001 for path in paths for folder in path.resolve().parents)


def identity(data_dir: Path) -> str:
    """A short name for a data directory, the same for every process that asks."""
    return hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]


def socket_folder(data_dir: Path, server: str) -> Path:
    """Where a server's socket lies.

    In /tmp, not in the data directory, because the path of a socket has 107 bytes at most, and not in
    XDG_RUNTIME_DIR, which logging out removes from under a running server.
    """
    root = Path("/tmp")  # noqa: S108 - `make_private` looks whose the folder is
    if not os.access(root, os.W_OK):
        root = Path(tempfile.gettempdir())
    return root / f"rosetta-{os.geteuid()}-{identity(data_dir)}-{server}"


def make_private(folder: Path, account: Account | None) -> None:
    """Makes a folder that only a server's user may enter.

    Raises:
        Unavailable: when the name is taken by somebody else.
    """
    uid = account.uid if account else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
        if account:
            os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        if folder.is_symlink() or folder.stat().st_uid not in (uid, os.geteuid()):
            raise Unavailable(
                f"{folder} belongs to another user: remove it, or choose another data directory (ROSETTA_DATA_DIR)"
            ) from None
        if account:
            os.chown(folder, account.uid, account.gid)
        folder.chmod(0o700)


def drop(folder: Path) -> None:
    """Removes a socket's folder when nothing is left in it."""
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file; waits for others. It goes with the process, however that dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def writable(data_dir: Path) -> Iterator[None]:
    """Turns a failure to write the data directory into one clear line."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot use {error.filename or data_dir}: {error.strerror}; "
            "mend that, or choose another data directory (--data or ROSETTA_DATA_DIR)"
        ) from error


def open_log(path: Path) -> Path:
    """The log file itself, its folder made, set aside as `.1` when it has grown long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(path.suffix + ".1"))
    path.touch(mode=0o600)
    return path


def read_from(log: Path, start: int) -> str:
    """What a log has gained since it was `start` bytes long."""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def tail(lines: Iterable[str], count: int = 3) -> str:
    """The last lines that say something, as one line."""
    said = [line.strip() for line in lines if line.strip()]
    return " | ".join(said[-count:]) or "it said nothing"


def command(program: Sequence[str], account: Account | None, keep_access: bool, detach: bool) -> list[str]:
    """The command line that runs a program as that account through the launcher."""
    options = {
        "uid": account.uid if account else None,
        "gid": account.gid if account else None,
        "keep_access": keep_access,
        "detach": detach,
    }
    return [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(options), *program]


def environment() -> dict[str, str]:
    """A server's environment: nothing of ours that could change its behaviour (PGDATA, LANG and the like)."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def launch(
    program: Sequence[str],
    log: Path,
    folder: Path,
    account: Account | None = None,
    keep_access: bool = False,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Starts a program that outlives us, in a session of its own (no Ctrl-C reaches it); its process id.

    Args:
        program: what to run, by its absolute path.
        log: is appended what the program prints.
        folder: its working directory.
        account: whom it runs as; None for ourselves.
        keep_access: whether it may walk through folders that only root may enter.
        variables: its environment, a server's by default.
    """
    with log.open("ab") as output:
        launched = subprocess.run(
            command(program, account, keep_access, detach=True),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=folder,
            env=variables or environment(),
            start_new_session=True,
            check=True,
        )
    return int(launched.stdout)


def is_launcher(title: str) -> bool:
    """Whether this is the command line of a launcher, which for an instant carries its server's."""
    return str(_LAUNCHER) in title


def find(pid: int) -> psutil.Process | None:
    """The living process of that id. A zombie is dead: nobody has fetched its exit code yet, that is all."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def find_by_title(uid: int, ours: Callable[[str], bool]) -> list[psutil.Process]:
    """The living processes of a user whose command line, as one string, is recognised.

    Anybody may read a command line; a working directory only with rights that root in a container lacks.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.uids().real == uid
                and process.status() != psutil.STATUS_ZOMBIE
                and ours(" ".join(process.cmdline()))
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end(processes: Iterable[psutil.Process], steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Whether the processes are gone after these signals, each with the seconds it is given.

    psutil compares creation times before it signals, so a process id that was used again is never hit.
    """
    remaining = list(processes)
    for number, patience in steps:
        for process in remaining:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + patience
        while remaining and time.monotonic() < deadline:
            remaining = [process for process in remaining if process.is_running() and find(process.pid)]
            if remaining:
                time.sleep(0.02)
        if not remaining:
            return True
    return not remaining


def machine_memory() -> int:
    """Bytes of memory that this machine, or this container, has."""
    total = int(psutil.virtual_memory().total)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
