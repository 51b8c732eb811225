"""Readiness: what the service needs of others, looked at when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import kombu.exceptions
import redis.exceptions
import sqlalchemy as sa
from celery import Celery
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rosetta.errors import RosettaError
from rosetta.results import Check
from service import jobs
from service.api.state import State
from service.broker import QUEUE
from service.database import migrate

_STATES = ("queued", "running", "done", "failed", "cancelled")
_BROKER_ERRORS = (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError)


def check_all(state: State) -> list[Check]:
    """Database, its schema and the broker, each with the mend when it fails."""
    return [_database(state), _broker(state.celery)]


def queue_depth(celery: Celery) -> int:
    """How many messages wait for a worker.

    Raises:
        OSError: or one of kombu's or redis's, when the broker does not answer.
    """
    with celery.connection_for_read() as connection:
        return int(connection.channel().client.llen(QUEUE))


class Stock(Collector):
    """What Prometheus reads beside the requests: jobs and messages as they are at that moment."""

    def __init__(self, state: Callable[[], State | None]) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """Yields a gauge of jobs by state, and one of waiting messages; what does not answer has none."""
        state = self._state()
        if state is None:
            return
        jobs_by_state = GaugeMetricFamily("rosetta_jobs", "Jobs in each state", labels=["state"])
        counted: dict[str, int] | None
        try:
            with state.reading.connect() as conn:
                counted = jobs.count_by_state(conn)
        except sa.exc.SQLAlchemyError:
            counted = None
        if counted is not None:
            for name in _STATES:
                jobs_by_state.add_metric([name], counted.get(name, 0))
            yield jobs_by_state
        try:
            depth = queue_depth(state.celery)
        except _BROKER_ERRORS:
            return
        yield GaugeMetricFamily("rosetta_queue_messages", "Messages that wait for a worker", value=depth)


def _database(state: State) -> Check:
    try:
        current, head = migrate.current(state.database_url)
    except RosettaError as error:
        return Check("database", False, error.message, "see `rosetta doctor`")
    if current != head:
        return Check("database", False, f"its schema is {current}, not {head}", "run `rosetta migrate`")
    return Check("database", True, f"schema {head}")


def _broker(celery: Celery) -> Check:
    try:
        depth = queue_depth(celery)
    except _BROKER_ERRORS as error:
        return Check("broker", False, f"Redis does not answer ({error})", "start it, or see ROSETTA_BROKER_URL")
    return Check("broker", True, f"{depth} messages wait")
