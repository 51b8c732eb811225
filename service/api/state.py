"""What the routes share: settings, connections, the doorbell. Made when the application starts, not at import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import sqlalchemy as sa
from celery import Celery
from fastapi import Request

from rosetta.errors import InvalidRequest
from service.broker import make_celery
from service.database.engine import make_engine
from service.settings import Settings


@dataclass(frozen=True)
class State:
    """The service's own things.

    Attributes:
        settings: all settings.
        database_url: of the database, its owner's.
        engine: connects to the database.
        reading: the same connections, each statement for itself: a question costs no BEGIN and no ROLLBACK.
        celery: rings for the workers.
    """

    settings: Settings
    database_url: str
    engine: sa.Engine
    reading: sa.Engine
    celery: Celery


@contextmanager
def open_state(settings: Settings) -> Iterator[State]:
    """The state of a running application; its connections are closed afterwards.

    Raises:
        InvalidRequest: when the settings name no database or no broker.
    """
    if settings.database_url is None or settings.broker_url is None:
        raise InvalidRequest(
            "the API has no database or no broker: start the local stack with `rosetta up`,"
            " or set ROSETTA_DATABASE_URL and ROSETTA_BROKER_URL"
        )
    engine = make_engine(settings.database_url, application_name="rosetta-api", pool_size=20, max_overflow=20)
    celery = make_celery(settings.broker_url)
    try:
        yield State(
            settings=settings,
            database_url=settings.database_url,
            engine=engine,
            reading=engine.execution_options(isolation_level="AUTOCOMMIT"),
            celery=celery,
        )
    finally:
        celery.close()
        engine.dispose()


def state_of(request: Request) -> State:
    """The state of the application that serves the request."""
    return cast(State, request.app.state.rosetta)
