"""The worker's Celery application.

    celery -A workers.app worker -P solo -c 1 --without-gossip --without-mingle

One process owns the models, so the pool is `solo`; more workers are more processes, one a GPU.
"""

from __future__ import annotations

from typing import Any

from celery.signals import worker_init, worker_shutting_down

from service.broker import RUN_PART, make_celery
from service.settings import get_settings
from workers import tasks
from workers.allocator import keep_freed_memory

app = make_celery(get_settings().broker_url or "")  # without one, the worker refuses to start
app.task(name=RUN_PART)(tasks.run_part)


@worker_init.connect  # type: ignore[untyped-decorator]
def _check_settings(**_: Any) -> None:
    for name in ("database_url", "broker_url"):
        if getattr(get_settings(), name) is None:
            raise SystemExit(f"ROSETTA_{name.upper()} is not set: `rosetta up` sets it, or name your own server")


@worker_init.connect  # type: ignore[untyped-decorator]
def _set_allocator(**_: Any) -> None:
    keep_freed_memory()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    tasks.stopping.set()
