"""The one task: takes a part, runs its pipeline, records how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from threading import Event
from uuid import uuid4

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import RosettaError
from service import jobs
from service.broker import make_celery
from service.database.engine import make_engine
from service.settings import get_settings
from workers.heartbeat import Heartbeat
from workers.memory import is_out_of_memory
from workers.pipelines.context import Context

log = logging.getLogger(__name__)

# The module whose `run(context)` does a kind of job; imported when the first such job comes.
PIPELINES = {
    "register": "workers.pipelines.register",
    "inspect": "workers.pipelines.inspect",
    "mine": "workers.pipelines.mine",
    "cluster": "workers.pipelines.cluster",
    "map": "workers.pipelines.map",
    "correlate": "workers.pipelines.correlate",
    "pictures": "workers.pipelines.pictures",
    "look": "workers.pipelines.look",
    "label_text": "workers.pipelines.label_text",
    "label_masks": "workers.pipelines.label_masks",
    "embed_text": "workers.pipelines.embed_text",
    "invert": "workers.pipelines.steer",
    "edit": "workers.pipelines.steer",
    "intervene": "workers.pipelines.intervene",
    "directions": "workers.pipelines.directions",
    "walk": "workers.pipelines.walk",
    "translate": "workers.pipelines.translate",
}

stopping = Event()  # set when this worker is asked to shut down


@cache
def _engine() -> sa.Engine:
    """The store, for this process: one connection for the pipeline, one for the heartbeat."""
    url = get_settings().database_url
    assert url is not None  # workers.app looked before the worker began
    return make_engine(url, application_name="rosetta-worker", pool_size=2)


@cache
def _celery() -> Celery:
    """Rings for the jobs that a job calls for."""
    return make_celery(get_settings().broker_url or "memory://")


def run_part(job_id: int, part: int) -> None:
    """Does a part of a job, unless it is done, taken or cancelled: the message is only a doorbell."""
    settings, engine = get_settings(), _engine()
    claim = jobs.claim(engine, job_id, part, uuid4(), settings.lease_s)
    if claim is None:
        return
    log.info("job %d part %d: %s, attempt %d", job_id, part, claim.kind, claim.attempt)
    with Heartbeat(engine, claim) as heartbeat:
        context = Context(engine, _celery(), settings, claim, heartbeat, stopping)
        try:
            _pipeline(claim.kind)(context)
            if not context.published:
                raise RuntimeError(f"the pipeline of '{claim.kind}' ended and published nothing")
        except jobs.Stopped as stopped:
            log.info("job %d part %d stopped: %s", job_id, part, stopped)
            jobs.release(engine, claim)
        except Exception as error:  # noqa: BLE001 - the job row says why, whatever it was
            _record(context, error)
        except BaseException:  # the process is being ended
            jobs.release(engine, claim)
            raise


def _pipeline(kind: str) -> Callable[[Context], None]:
    run: Callable[[Context], None] = import_module(PIPELINES[kind]).run
    return run


def _record(context: Context, error: Exception) -> None:
    """Fails the part with a line that a person understands; the traceback goes to the log."""
    claim = context.claim
    if _is_lost_database(error):
        log.warning("job %d: the database went away; the part is tried again after its lease", claim.job_id)
        return
    if isinstance(error, RosettaError):
        log.info("job %d failed: %s", claim.job_id, error.message)
        code, message = error.code, error.message
    elif is_out_of_memory(error):
        log.exception("job %d ran out of memory", claim.job_id)
        _let_go()
        code, message = "out_of_memory", _out_of_memory(context)
    else:
        log.exception("job %d failed", claim.job_id)
        first = str(error).strip().partition("\n")[0]
        code, message = "internal", f"{type(error).__name__}: {first}; see the worker's log"
    jobs.fail(context.engine, claim, code, message)


def _is_lost_database(error: Exception) -> bool:
    # A connection that could not be made has no SQLSTATE; one that broke is marked invalid.
    if not isinstance(error, sa.exc.OperationalError):
        return False
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) is None


def _let_go() -> None:
    from workers.pipelines import networks

    networks.forget_all()


def _out_of_memory(context: Context) -> str:
    budget = context.settings.memory_budget / 2**30
    return (
        f"the worker ran out of memory beside a budget of {budget:.1f} GiB: lower ROSETTA_MEMORY_BUDGET, "
        "or take fewer models at once"
    )
