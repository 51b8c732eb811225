"""`rosetta jobs`: list, show, watch, cancel, retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from rosetta.cli.output import connected, examples, keeps_going, print_json, print_pairs, print_rows, watch_job

if TYPE_CHECKING:
    from rosetta.client import Client
    from rosetta.results import Job, JobState

_STATES = click.Choice(["queued", "running", "done", "failed", "cancelled"])


@click.group(epilog=examples("rosetta jobs watch 12"))
def jobs() -> None:
    """List, watch, cancel and retry jobs."""


@jobs.command("list", epilog=examples("rosetta jobs list --state failed"))
@click.option("--state", type=_STATES, help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1), default=20, metavar="N", help="How many, newest first. [20]")
@connected
def list_(client: Client, state: str | None, limit: int, *, as_json: bool) -> None:
    """List the newest jobs."""
    found = client.jobs(cast("JobState | None", state), limit)
    if as_json:
        print_json(list(found))
    else:
        print_rows(found, none=f"no {state} jobs" if state else "no jobs yet: `rosetta mine --probe NAME` starts one")


@jobs.command(epilog=examples("rosetta jobs show 12"))
@click.argument("job_id", metavar="ID", type=int)
@connected
def show(client: Client, job_id: int, *, as_json: bool) -> None:
    """Show a job."""
    job = client.job(job_id).last_seen
    if as_json:
        print_json(job)
    else:
        _print(job)


@jobs.command(epilog=examples("rosetta jobs watch 12"))
@click.argument("job_id", metavar="ID", type=int)
@connected
def watch(client: Client, job_id: int, *, as_json: bool) -> None:
    """Follow a job with a progress bar until it is done; Ctrl-C leaves it at work."""
    job = client.job(job_id)
    with keeps_going(job_id):
        job.wait(progress=watch_job())
    if as_json:
        print_json(job.last_seen)
    else:
        _print(job.last_seen)


@jobs.command(epilog=examples("rosetta jobs cancel 12"))
@click.argument("job_id", metavar="ID", type=int)
@connected
def cancel(client: Client, job_id: int, *, as_json: bool) -> None:
    """Cancel a job. The parts of it that are done stay."""
    job = client.job(job_id).cancel().last_seen
    if as_json:
        print_json(job)
    else:
        click.echo(f"job {job_id} is {job.state}")


@jobs.command(epilog=examples("rosetta jobs retry 12"))
@click.argument("job_id", metavar="ID", type=int)
@connected
def retry(client: Client, job_id: int, *, as_json: bool) -> None:
    """Queue a failed or cancelled job again. The parts of it that are done are not done again."""
    job = client.job(job_id).retry().last_seen
    if as_json:
        print_json(job)
    else:
        click.echo(f"job {job_id} is {job.state}: `rosetta jobs watch {job_id}` follows it")


def _print(job: Job) -> None:
    from rosetta.views import job_note, job_subject, job_time, moment, progress

    lines = {
        "job": f"{job.id} ({job.kind})",
        "about": job_subject(job),
        "state": job.state,
        "done": progress(job),
        "note": job_note(job),
        "queued": moment(job.created_at),
        "started": moment(job.started_at),
        "finished": moment(job.finished_at),
        "took": job_time(job),
        **{key.replace("_", " "): _brief(value) for key, value in (job.result or {}).items()},
    }
    print_pairs({name: value for name, value in lines.items() if value not in {"", "-"}})


def _brief(value: Any) -> str:
    """A value of a job's result; of many things, how many: the command that asked for them shows them."""
    from rosetta.views import cell

    return f"{len(value):,}" if isinstance(value, list) else cell(value)
