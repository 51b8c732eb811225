from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from rosetta import JobFailed, Unavailable, waiting
from tests.unit.rosetta import values
from tests.unit.rosetta.fake import error, events


def waited(talk: Any, **options: Any) -> tuple[Any, list[Any]]:
    seen: list[Any] = []
    job = talk(talk.client.job, 12)
    talk(job.wait, progress=lambda state: seen.append((state.state, state.progress_done)), **options)
    return job, seen


def test_events_feed_the_progress(talk, service):
    service.on("GET", "/v1/jobs/12", values.job(12, "queued"), values.job(12, "queued"), values.job(12, "done"))
    states = [values.job(12, "running", progress_done=done) for done in (10, 60)]
    service.on("GET", "/v1/jobs/12/events", events(*states, values.job(12, "done")))
    job, seen = waited(talk)
    assert seen == [("queued", 45), ("running", 10), ("running", 60), ("done", 45)]
    assert (job.status, job.result) == ("done", {"pairs": 1})


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadError("reset"),
        httpx.ConnectError("refused"),
        httpx.Response(404, text="no events behind this proxy"),
        httpx.Response(200, text="no events"),
        events({"not": "a job"}),
        events(values.job(12, "running")),  # ends before the job does
        error(503, "unavailable", "the database is away"),
    ],
)
def test_polling_goes_on_where_events_stop(talk, service, answer):
    running = [values.job(12, "running", progress_done=done) for done in (10, 20, 30)]
    service.on("GET", "/v1/jobs/12", *running, values.job(12, "done"))
    service.on("GET", "/v1/jobs/12/events", answer)
    _, seen = waited(talk)
    assert [state for state in seen if state != ("running", 45)] == [("running", 20), ("running", 30), ("done", 45)]


def test_a_service_that_restarts_is_waited_for(talk, service):
    away = httpx.ConnectError("refused")
    running = values.job(12, "running")
    service.on("GET", "/v1/jobs/12", running, running, away, away, httpx.Response(503), values.job(12, "done"))
    service.on("GET", "/v1/jobs/12/events", away)
    job, _ = waited(talk)
    assert job.status == "done"


def test_a_service_that_stays_away_is_given_up(talk, service, monkeypatch):
    monkeypatch.setattr(waiting, "_PATIENCE_S", -1.0)
    service.on("GET", "/v1/jobs/12", values.job(12, "running"), httpx.ConnectError("refused"))
    with pytest.raises(Unavailable, match="job 12 goes on: `rosetta jobs watch 12` re-attaches"):
        waited(talk)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (values.job(12, "failed", error_message="NaN in a/b, image 3"), "job 12 (mine) failed: NaN in a/b, image 3"),
        (values.job(12, "failed"), "job 12 (mine) failed: it gave no reason"),
        (values.job(12, "cancelled"), "job 12 (mine) was cancelled"),
    ],
)
def test_failure_is_an_error_with_the_reason(talk, service, state, message):
    service.on("GET", "/v1/jobs/12", values.job(12, "running"), values.job(12, "running"), state)
    service.on("GET", "/v1/jobs/12/events", events(state))
    job = talk(talk.client.job, 12)
    with pytest.raises(JobFailed) as caught:
        talk(job.wait, progress=False)
    assert caught.value.message == message
    assert job.status == state["state"]


def test_waiting_has_an_end_when_it_is_given_one(talk, service):
    service.on("GET", "/v1/jobs/12", values.job(12, "running"))
    service.on("GET", "/v1/jobs/12/events", events(values.job(12, "running")))
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"job 12 is not done after 0\.05 s; it goes on"):
        waited(talk, timeout=0.05)
    assert time.monotonic() - began < 5


def test_the_bar_shows_what_happens_and_how_long_it_takes(talk, service, capsys):
    service.on("GET", "/v1/jobs/12", values.job(12, "running"), values.job(12, "running"), values.job(12, "done"))
    service.on("GET", "/v1/jobs/12/events", events(values.job(12, "running", progress_done=60)))
    job = talk(talk.client.job, 12)
    talk(job.wait)
    shown = capsys.readouterr()
    assert "mine (job 12)  60% |" in shown.err
    assert "about 1 min 10 s left, 4 models" in shown.err
    assert shown.out == ""
