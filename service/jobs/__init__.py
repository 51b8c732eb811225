"""A job's life in Postgres, which is the truth; Redis only carries the doorbell.

    create -> ring -> claim -> heartbeat ... -> publish        or fail, release, cancel; retry

A job has parts, each done by one worker at a time. The design holds whatever is killed: a part belongs to its
`owner` while its lease lasts; its rows are written in the one transaction that also marks it done, holding it
locked by owner; the sweeper rings again for parts nobody answered for. Locks are taken part first, job last.
"""

from __future__ import annotations

from service.jobs.doorbell import ring, ring_later, sweep
from service.jobs.life import MAX_ATTEMPTS, cancel, create, retry
from service.jobs.parts import Claim, Stopped, claim, fail, heartbeat, publish, release
from service.jobs.read import count_by_kind, count_by_state, finished, get, list_jobs

__all__ = [
    "MAX_ATTEMPTS",
    "Claim",
    "Stopped",
    "cancel",
    "claim",
    "count_by_kind",
    "count_by_state",
    "create",
    "fail",
    "finished",
    "get",
    "heartbeat",
    "list_jobs",
    "publish",
    "release",
    "retry",
    "ring",
    "ring_later",
    "sweep",
]
