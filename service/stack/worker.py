"""The worker's supervisor: keeps one Celery process at work, and sweeps for parts that were lost.

It is light: no torch, and so it survives whatever a model does to the process that runs it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import sys
import threading
from types import FrameType

import sqlalchemy as sa
from celery import Celery
from kombu.exceptions import OperationalError

from rosetta.errors import RosettaError, Unavailable
from service import jobs
from service.broker import make_celery
from service.database import migrate
from service.database.engine import make_engine
from service.jobs.presence import SWEEPER
from service.settings import Settings
from service.stack import configuration
from service.stack.children import GAVE_UP, Child
from service.stack.supervisor import Supervisor

log = logging.getLogger("rosetta.worker")

_CHECK_S = 0.5
_DATABASE_RETRY_S = 2.0


class Sweeper(threading.Thread):
    """Sweeps every `settings.sweep_s` seconds until `stop` is set. A server that is away is no reason to end."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        super().__init__(name="sweeper", daemon=True)
        self.settings = settings
        self.stop = stop
        self.failure: Exception | None = None  # an error that is not the servers'

    def run(self) -> None:
        """The thread's work."""
        assert self.settings.database_url
        assert self.settings.broker_url
        engine = make_engine(self.settings.database_url, application_name=SWEEPER, pool_size=1, max_overflow=0)
        celery = make_celery(self.settings.broker_url)
        try:
            while True:
                self._sweep(engine, celery)
                if self.stop.wait(self.settings.sweep_s):
                    return
        except Exception as error:  # noqa: BLE001 - whoever started us raises it
            self.failure = error
        finally:
            engine.dispose()
            celery.close()

    def _sweep(self, engine: sa.Engine, celery: Celery) -> None:
        try:
            if again := jobs.sweep(engine, celery, self.settings):
                log.info("rang again for %d parts", again)
        except (sa.exc.OperationalError, OperationalError, OSError) as error:
            log.warning("cannot sweep: %s", str(error).strip().partition("\n")[0])


def run(settings: Settings) -> None:
    """Works until SIGTERM or Ctrl-C.

    Args:
        settings: with both URLs.

    Raises:
        Unavailable: when the packages of a worker are missing, or its process keeps dying.
    """
    if importlib.util.find_spec("torch") is None:
        raise Unavailable("a worker needs torch, which is not installed: pip install 'rosetta-neurons[workers]'")
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _await_schema(settings, stop)
        _work(settings, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_schema(settings: Settings, stop: threading.Event) -> None:
    """Waits for a database that is not up yet, as Celery does for the broker.

    Raises:
        Unavailable: when the database is there, but of another version.
    """
    assert settings.database_url
    while not stop.is_set():
        try:
            current, head = migrate.current(settings.database_url)
        except Unavailable as error:
            log.warning("%s; trying again", error.message)
            stop.wait(_DATABASE_RETRY_S)
            continue
        if current == head:
            return
        raise Unavailable(
            f"the database's schema is {current or 'empty'}, and this worker needs {head}: run `rosetta migrate`"
            " with the newest version, and workers of that version"
        )


def _work(settings: Settings, stop: threading.Event) -> None:
    supervisor = Supervisor(log.warning)
    sweeper = Sweeper(settings, stop)
    try:
        sweeper.start()
        supervisor.start(_celery(settings))
        while not stop.wait(_CHECK_S):
            supervisor.check()
            if sweeper.failure:
                raise sweeper.failure
    finally:
        stop.set()
        supervisor.stop()
        sweeper.join(timeout=5)


def _celery(settings: Settings) -> Child:
    command = [
        *(sys.executable, "-m", "celery", "-A", "workers.app", "worker"),
        *("-P", "solo", "-c", "1", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        *("-n", f"rosetta-{os.getpid()}@%h", "-l", "INFO"),
    ]
    # In the data directory, because Celery imports from the working directory first: a person's own
    # folder `workers` must not be taken for ours.
    return Child("Celery worker", command, configuration.variables(settings), settings.data_dir, patience_s=8)


def main() -> int:
    """The exit code of `python -m service.stack.worker`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run(configuration.complete(configuration.load()))
    except RosettaError as error:
        print(error.message, file=sys.stderr)
        return GAVE_UP
    return 0


if __name__ == "__main__":
    sys.exit(main())
