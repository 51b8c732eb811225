"""The heartbeat: keeps a claimed part alive while its pipeline computes, and notices when it is lost."""

from __future__ import annotations

import logging
from threading import Event, Thread
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from service import jobs

log = logging.getLogger(__name__)

# Far more often than the lease asks for: it carries the progress people watch, and brings word of a cancel.
_BEAT_S = 0.5


class Heartbeat:
    """A thread that extends the lease of a claim and stores its progress, on a connection of its own.

    `lost` is set when the part was given to another worker, or its job is over.
    """

    def __init__(self, engine: sa.Engine, claim: jobs.Claim) -> None:
        self.lost = Event()
        self.progress: tuple[int, int, str] = (0, int(claim.payload.get("images", 0)), "")
        self._engine, self._claim = engine, claim
        self._finished = Event()
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        """Start beating."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop beating."""
        self._finished.set()
        self._thread.join()

    def beat(self) -> None:
        """Beats once, now."""
        if not jobs.heartbeat(self._engine, self._claim, *self.progress):
            self.lost.set()

    def _run(self) -> None:
        while not self._finished.wait(min(_BEAT_S, self._claim.lease_s / 3)) and not self.lost.is_set():
            try:
                self.beat()
            except sa.exc.SQLAlchemyError as error:
                # The database may be back before the lease runs out, and who publishes looks anyway.
                log.warning("no heartbeat for job %d: %s", self._claim.job_id, str(error).splitlines()[0])
