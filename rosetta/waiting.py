"""Waiting for a job: server-sent events, or polling when they do not come, over dropped connections."""

from __future__ import annotations

import time
from contextlib import suppress

import httpx
import msgspec

from rosetta.effects import Listen, Operation, Pause, Request
from rosetta.errors import JobFailed, RosettaError, Unavailable
from rosetta.progress import Watch
from rosetta.results import Job
from rosetta.wire import decode, send

FINISHED = frozenset({"done", "failed", "cancelled"})
_SILENCE_S = 20.0  # the service says something at least every few seconds; longer, and a proxy may be in between
_POLL_S = 1.0
_PATIENCE_S = 120.0  # a service that is restarted comes back within this


def get_job(job_id: int) -> Operation[Job]:
    """The job as it is now."""
    return decode((yield from send(Request("GET", f"/v1/jobs/{job_id}"))), Job)


def wait_for(job_id: int, watch: Watch, timeout_s: float | None) -> Operation[Job]:
    """The job when it is done.

    Args:
        job_id: of the job.
        watch: is shown every state that arrives.
        timeout_s: stop waiting after so long; the job goes on.

    Raises:
        JobFailed: with the reason, when it failed or was cancelled.
        TimeoutError: when it takes longer.
        Unavailable: when the service is away for two minutes; the job goes on.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        job = yield from _get_patiently(job_id)
        watch(job)
        if job.state in FINISHED:
            check_done(job)
            return job
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(f"job {job_id} is not done after {timeout_s:g} s; it goes on")
        finished = yield from _listen(job_id, watch, deadline)
        if not finished:
            yield Pause(_POLL_S)


def check_done(job: Job) -> None:
    """Return when a finished job is done.

    Raises:
        JobFailed: with the reason, when it failed or was cancelled.
    """
    if job.state == "failed":
        reason = job.error_message or "it gave no reason"
        raise JobFailed(f"job {job.id} ({job.kind}) failed: {reason}", job=job.id, reason=job.error_code)
    if job.state == "cancelled":
        raise JobFailed(f"job {job.id} ({job.kind}) was cancelled", job=job.id, reason="cancelled")


def _listen(job_id: int, watch: Watch, deadline: float | None) -> Operation[bool]:
    """Whether the job finished before the connection dropped or time was up. No error: polling tells more."""
    finished = False

    def on_event(data: str) -> bool:
        nonlocal finished
        try:
            job = msgspec.json.decode(data, type=Job)
        except msgspec.MsgspecError:  # not what this client knows: polling says it, if it does not either
            return True
        finished = job.state in FINISHED
        if not finished:  # the last state is shown when it is asked for, so that nothing shows it twice
            watch(job)
        return finished or (deadline is not None and time.monotonic() >= deadline)

    silence_s = _SILENCE_S if deadline is None else min(_SILENCE_S, max(0.1, deadline - time.monotonic()))
    with suppress(httpx.TransportError, RosettaError):
        yield Listen(f"/v1/jobs/{job_id}/events", on_event, silence_s)
    return finished


def _get_patiently(job_id: int) -> Operation[Job]:
    lost_at: float | None = None
    while True:
        try:
            return (yield from get_job(job_id))
        except Unavailable as error:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > _PATIENCE_S:
                message = f"{error.message}; job {job_id} goes on: `rosetta jobs watch {job_id}` re-attaches"
                raise Unavailable(message, **error.details) from error
        yield Pause(_POLL_S)
