"""What a pipeline is given: its part of a job, and how to tell what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any

import sqlalchemy as sa
from celery import Celery

from service import jobs
from service.settings import Settings
from workers.heartbeat import Heartbeat


class Context:
    """One claimed part.

    Attributes:
        engine: the store.
        celery: to ring with, for a job that this one calls for.
        settings: of this process.
        claim: who owns the part, and what it is.
        parameters: of the whole job.
        payload: of this part.
        published: whether `publish` went through.
    """

    def __init__(
        self,
        engine: sa.Engine,
        celery: Celery,
        settings: Settings,
        claim: jobs.Claim,
        heartbeat: Heartbeat,
        stopping: Event,
    ) -> None:
        self.engine, self.celery, self.settings, self.claim = engine, celery, settings, claim
        self.parameters: dict[str, Any] = claim.parameters
        self.payload: dict[str, Any] = claim.payload
        self.published = False
        self._heartbeat, self._stopping = heartbeat, stopping

    def check(self) -> None:
        """Returns while the part is to be done; cheap enough for every batch.

        Raises:
            Stopped: when the job was cancelled, the lease was lost, or this worker is to shut down.
        """
        if self._heartbeat.lost.is_set():
            raise jobs.Stopped("it was cancelled, or given to another worker")
        if self._stopping.is_set():
            raise jobs.Stopped("this worker shuts down")

    def report(self, done: int, total: int, note: str = "") -> None:
        """Says how far the part is; the heartbeat stores it. Checks as well.

        Args:
            done: images so far.
            total: images of the part.
            note: what is being done, for people.

        Raises:
            Stopped: see `check`.
        """
        self._heartbeat.progress = (done, total, note)
        self.check()

    @contextmanager
    def publish(self, result: Mapping[str, Any] | None = None) -> Iterator[sa.Connection]:
        """A connection in the one transaction that writes the part's rows and marks it done, or does neither.

        Args:
            result: merged into the job's, as it is on exit.

        Raises:
            Stopped: when the job was cancelled or the lease was lost; nothing is written.
        """
        self.check()
        self._heartbeat.beat()
        with jobs.publish(self.engine, self.claim, result) as connection:
            yield connection
        self.published = True
