"""What the client hands out beside plain results: units, jobs and answers that can be asked for more."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from rosetta import operations, results
from rosetta.progress import JobBar, Watch
from rosetta.results import CorrelatedMatch, Match, ModelPair, UnitStatistics
from rosetta.rows import Rows
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

    def __init__(self, answer: results.Answer) -> None:
        self._result = answer
        self.question = answer.question
        self.kind = answer.kind
        self.understood = answer.understood
        self.text = answer.text
        self.matches: Rows[Match] = Rows(answer.matches, Match, "matches")
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
        import html

        rows = [rows._repr_html_() for rows in (self.matches, self.pairs) if rows]
        return "\n".join([f"<p>{html.escape(self.text)}</p>", *rows])


class _UnitHandle:
    """A unit of a model.

    Attributes:
        model: its name.
        number: model-wide, 0-based, layers in forward order.
        layer: module path.
        channel: in the layer.
        address: `model/layer:channel`.
        height: of its activation map.
        width: of its activation map.
        statistics: its response on every probe set that its model was mined on.
    """

    def __init__(self, unit: results.Unit) -> None:
        self.model = unit.model
        self.number = unit.number
        self.layer = unit.layer
        self.channel = unit.channel
        self.address = unit.address
        self.height = unit.height
        self.width = unit.width
        self.statistics: Rows[UnitStatistics] = Rows(unit.statistics, UnitStatistics, "statistics")

    def __repr__(self) -> str:
        return f"<unit {self.number} of {self.model}: {self.layer}:{self.channel}, {self.height}x{self.width}>"


class UnitHandle(_UnitHandle):
    """A unit of a model, which can be asked for its matches."""

    def __init__(self, transport: Transport, unit: results.Unit) -> None:
        super().__init__(unit)
        self._transport = transport

    def matches(
        self,
        model: str | None = None,
        top: int | None = None,
        *,
        best_buddies: bool = False,
        approximate: bool = False,
        probe: str | None = None,
    ) -> Rows[Match]:
        """The unit's matches, in each model by rank.

        Args:
            model: where to look: a model, a family or a nickname; all models when left out.
            top: how many in each model; 10 when left out, or as many as mining kept.
            best_buddies: only matches whose own best match is this unit.
            approximate: estimate from sketches, also in models that it was never compared with; `correlate` makes
                these matches exact.
            probe: a probe set; the newest one of each pair of models, or of the unit's model when approximate.

        Raises:
            NotFound: when a name is unknown, with the nearest ones, or the models were not mined.
            InvalidRequest: when the unit is dead, or best buddies are to be approximate.

        Example:
            >>> client.unit("dcgan-faces", 813).matches(model="efficientnet-lite0", top=3)
        """
        operation = operations.find_matches(
            self.model, self.number, model, probe, top=top, best_buddies=best_buddies, approximate=approximate
        )
        return self._transport.run(operation)

    def correlate(self, model: str | None = None, top: int = 10, *, probe: str | None = None) -> JobHandle:
        """The job that correlates the unit exactly with its approximate matches; its `matches` are the rows.

        Args:
            model: where to look: a model, a family or a nickname; all models with sketches when left out.
            top: candidates in each model.
            probe: a probe set; the one on which the unit's model was mined last when left out.

        Raises:
            NotFound: when a name is unknown, with the nearest ones, or there are no sketches.
            InvalidRequest: when the unit is dead.

        Example:
            >>> client.unit("dcgan-faces", 813).correlate(model="mobilenet").wait().matches
        """
        operation = operations.correlate(self.address, None, into=model, probe=probe, top=top)
        return JobHandle(self._transport, self._transport.run(operation))


class AsyncUnitHandle(_UnitHandle):
    """A unit of a model, which can be asked for its matches without blocking."""

    def __init__(self, transport: AsyncTransport, unit: results.Unit) -> None:
        super().__init__(unit)
        self._transport = transport

    async def matches(
        self,
        model: str | None = None,
        top: int | None = None,
        *,
        best_buddies: bool = False,
        approximate: bool = False,
        probe: str | None = None,
    ) -> Rows[Match]:
        """As `UnitHandle.matches`."""
        operation = operations.find_matches(
            self.model, self.number, model, probe, top=top, best_buddies=best_buddies, approximate=approximate
        )
        return await self._transport.run(operation)

    async def correlate(self, model: str | None = None, top: int = 10, *, probe: str | None = None) -> AsyncJobHandle:
        """As `UnitHandle.correlate`."""
        operation = operations.correlate(self.address, None, into=model, probe=probe, top=top)
        return AsyncJobHandle(self._transport, await self._transport.run(operation))


class _JobHandle:
    """A job, as last seen.

    Attributes:
        last_seen: all that is known of it.
    """

    def __init__(self, job: results.Job) -> None:
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
        return operations.correlated(self.last_seen)

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


class JobHandle(_JobHandle):
    """A job, which can be waited for, cancelled and tried again."""

    def __init__(self, transport: Transport, job: results.Job) -> None:
        super().__init__(job)
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
        super().__init__(job)
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
