"""Progress bars, in a terminal and in a notebook."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

from rosetta.results import Job
from rosetta.views import job_note

_JOB_FORMAT = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
_WAITING_FORMAT = "{desc} [{elapsed}{postfix}]"


class Watch(Protocol):
    """Whoever wants to see each new state of a job."""

    def __call__(self, job: Job) -> None:
        """See the job as it is now."""


class JobBar:
    """A bar that follows a job. It opens with the first state that is not the last, and closes on exit."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, job: Job) -> None:
        """Show the job as it is now."""
        subject = f"{job.kind} (job {job.id})"
        subject += "" if job.state == "running" else f": {job.state}"
        form = _JOB_FORMAT if job.progress_total else _WAITING_FORMAT
        if self._bar is None:
            if job.finished_at is not None:  # over before it was looked at: nothing to follow
                return
            from tqdm.auto import tqdm

            self._bar = tqdm(desc=subject, total=1, dynamic_ncols=True, bar_format=form, leave=False)
        bar = self._bar
        bar.set_description_str(subject, refresh=False)
        bar.bar_format = form
        bar.total, bar.n = job.progress_total or 1, job.progress_done
        bar.set_postfix_str(job_note(job), refresh=False)
        bar.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def transfer_bar(total: int | None, unit: str, description: str, *, shown: bool) -> Any:
    """A bar for what is read or sent; it appears only when that takes more than a second."""
    from tqdm.auto import tqdm

    return tqdm(
        total=total,
        unit=unit,
        unit_scale=unit == "B",
        unit_divisor=1024,
        desc=description,
        delay=1,
        leave=False,
        dynamic_ncols=True,
        disable=not shown,
    )
