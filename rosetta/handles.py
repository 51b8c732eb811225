"""What the client hands out beside plain results: jobs and answers that can be asked for more."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from rosetta import html, operations, results
from rosetta.progress import JobBar, Watch
from rosetta.results import CorrelatedMatch, Match, ModelPair
from rosetta.rows import Rows
from rosetta.strips import Run
from rosetta.transport import AsyncTransport, Transport
from rosetta.views import job_note, progress
from rosetta.waiting import get_job, wait_for


class Answer:
    """What `ask` understood and found; `str()` is the text.

    Attributes:
        question: as it was asked.
        kind: which question it is: `matches`, `best_buddies` or `shared`.
        understood: the question in the service's words.
        text: the answer in a sentence or a few.
        matches: the rows of it.
        pairs: how much models share, where that was asked.
    """

    def __init__(self, answer: results.Answer, pictures: Run | None = None) -> None:
        self._result = answer
        self.question = answer.question
        self.kind = answer.kind
        self.understood = answer.understood
        self.text = answer.text
        self.matches: Rows[Match] = Rows(answer.matches, Match, "matches").pictured(pictures)
        self.pairs: Rows[ModelPair] = Rows(answer.pairs, ModelPair, "pairs of models")

    def as_result(self) -> results.Answer:
        """The plain value that the service answered."""
        return self._result

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        rows = [repr(rows) for rows in (self.matches, self.pairs) if rows]
        return "\n".join([f"<Answer: {self.text}>", *rows])

    def _repr_html_(self) -> str:
        rows = [rows._repr_html_() for rows in (self.matches, self.pairs) if rows]
        return "\n".join([html.text(self.text), *rows])


class _JobHandle:
    """A job, as last seen.

    Attributes:
        last_seen: all that is known of it.
    """

    def __init__(self, transport: Transport | AsyncTransport, job: results.Job) -> None:
        self._pictures = transport.pictures
        self.last_seen = job

    @property
    def id(self) -> int:
        """Its number; `client.job(id)` re-attaches to it."""
        return self.last_seen.id

    @property
    def status(self) -> results.JobState:
        """`queued`, `running`, `done`, `failed` or `cancelled`, when last seen."""
        return self.last_seen.state

    @property
    def result(self) -> dict[str, Any] | None:
        """What it made, once it is done."""
        return self.last_seen.result

    @property
    def matches(self) -> Rows[CorrelatedMatch]:
        """What a job `correlate` found, in each model by rank, once it is done; of other jobs none."""
        return operations.correlated(self.last_seen).pictured(self._pictures)

    @property
    def already_done(self) -> bool:
        """Whether the same inputs had been mined before, so that nothing was left to do."""
        return self.last_seen.already_done

    def _see(self, job: results.Job) -> None:
        self.last_seen = job

    def __repr__(self) -> str:
        done = f" {progress(self.last_seen)}" if self.status == "running" else ""
        note = f": {job_note(self.last_seen)}" if job_note(self.last_seen) else ""
        return f"<job {self.id} ({self.last_seen.kind}) {self.status}{done}{note}>"

    def _repr_html_(self) -> str:
        return html.text(repr(self).strip("<>")) + (self.matches._repr_html_() if self.matches else "")


class JobHandle(_JobHandle):
    """A job, which can be waited for, cancelled and tried again."""

    def __init__(self, transport: Transport, job: results.Job) -> None:
        super().__init__(transport, job)
        self._transport = transport

    def wait(self, progress: bool | Watch = True, timeout: float | None = None) -> JobHandle:
        """Itself, once the job is done. An interruption leaves the job at work.

        Args:
            progress: a bar, none, or a function that is called with every new state.
            timeout: seconds; for ever when left out.

        Raises:
            JobFailed: with the reason, when it failed or was cancelled.
            TimeoutError: when it takes longer; the job goes on.
            Unavailable: when the service stays away; the job goes on.

        Example:
            >>> client.mine(probe="faces").wait().result
        """
        with JobBar() if progress is True else nullcontext(progress or None) as watch:
            self._transport.run(wait_for(self.id, _seen(self, watch), timeout))
        return self

    def refresh(self) -> JobHandle:
        """Itself, as the job is now."""
        self._see(self._transport.run(get_job(self.id)))
        return self

    def cancel(self) -> JobHandle:
        """Itself, cancelled. What is done already stays; a finished job is left as it is."""
        self._see(self._transport.run(operations.change_job(self.id, "cancel")))
        return self

    def retry(self) -> JobHandle:
        """Itself, queued again after it failed or was cancelled; parts that are done are not done again."""
        self._see(self._transport.run(operations.change_job(self.id, "retry")))
        return self


class AsyncJobHandle(_JobHandle):
    """A job, which can be waited for, cancelled and tried again without blocking."""

    def __init__(self, transport: AsyncTransport, job: results.Job) -> None:
        super().__init__(transport, job)
        self._transport = transport

    async def wait(self, progress: bool | Watch = True, timeout: float | None = None) -> AsyncJobHandle:
        """As `JobHandle.wait`."""
        with JobBar() if progress is True else nullcontext(progress or None) as watch:
            await self._transport.run(wait_for(self.id, _seen(self, watch), timeout))
        return self

    async def refresh(self) -> AsyncJobHandle:
        """As `JobHandle.refresh`."""
        self._see(await self._transport.run(get_job(self.id)))
        return self

    async def cancel(self) -> AsyncJobHandle:
        """As `JobHandle.cancel`."""
        self._see(await self._transport.run(operations.change_job(self.id, "cancel")))
        return self

    async def retry(self) -> AsyncJobHandle:
        """As `JobHandle.retry`."""
        self._see(await self._transport.run(operations.change_job(self.id, "retry")))
        return self


def _seen(handle: _JobHandle, watch: Watch | None) -> Watch:
    """Keeps the handle up to date with every state that arrives, whatever ends the waiting."""

    def see(job: results.Job) -> None:
        handle._see(job)
        if watch is not None:
            watch(job)

    return see
