from __future__ import annotations

import httpx
import pytest

from rosetta import errors
from tests.unit.rosetta import values
from tests.unit.rosetta.fake import error


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (422, "invalid_request", errors.InvalidRequest),
        (404, "not_found", errors.NotFound),
        (409, "conflict", errors.Conflict),
        (401, "unauthorized", errors.Unauthorized),
        (503, "unavailable", errors.Unavailable),
        (500, "job_failed", errors.JobFailed),
        (500, "error", errors.RosettaError),
        (418, "something_new", errors.RosettaError),
    ],
)
def test_error_bodies_become_the_errors_of_the_interface(talk, service, status, code, kind):
    service.on("GET", "/v1/models/x", error(status, code, "no model 'x'", suggestions=["y"], message="odd"))
    with pytest.raises(errors.RosettaError) as caught:
        talk(talk.client.model, "x")
    assert type(caught.value) is kind
    assert caught.value.message == "no model 'x'"
    assert caught.value.details["suggestions"] == ["y"]
    assert ("request_id" in caught.value.details) == (status >= 500)


def test_suggestions_are_at_hand(talk, service):
    service.on("GET", "/v1/models/x", error(404, "not_found", "no model 'x'", suggestions=["y"]))
    with pytest.raises(errors.NotFound) as caught:
        talk(talk.client.model, "x")
    assert caught.value.suggestions == ("y",)


def test_a_dropped_connection_is_tried_again(talk, service):
    service.on("GET", "/v1/models/a", httpx.ReadError("reset"), httpx.Response(503), values.model("a"))
    assert talk(talk.client.model, "a").name == "a"
    assert len(service.asked) == 3


def test_it_is_not_tried_for_ever(talk, service):
    service.on("GET", "/v1/models/a", httpx.RemoteProtocolError("Server disconnected"))
    with pytest.raises(errors.Unavailable, match=r"connection to http://service\.test broke \(Server disc"):
        talk(talk.client.model, "a")
    assert len(service.asked) == 3


def test_a_registration_is_never_sent_twice(talk, service):
    service.on("POST", "/v1/models", httpx.ReadError("reset"))
    with pytest.raises(errors.Unavailable):
        talk(talk.client.add_model, "a", "demo:a", wait=False)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (httpx.ConnectError("refused"), "no service answers at http://service.test: start it with `rosetta up`"),
        (httpx.ReadTimeout("slow"), "http://service.test did not answer within 60 s: see `rosetta doctor`"),
    ],
)
def test_nobody_there_is_said_at_once_with_the_mend(talk, service, failure, message):
    service.on("GET", "/v1/models", failure)
    with pytest.raises(errors.Unavailable, match=message):
        talk(talk.client.models)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(404, text="<html>"), "404 Not Found to GET /v1/models, as no Rosetta service"),
        (httpx.Response(500, text="oops"), "500 Internal Server Error: see `rosetta doctor`"),
        (httpx.Response(301, headers={"location": "https://other/"}), "redirects to https://other/: set ROSETTA_URL"),
        (httpx.Response(200, text="<html>"), "does not understand"),
        (httpx.Response(200, json={"items": [{"name": 3}]}), "does not understand"),
    ],
)
def test_what_no_rosetta_service_says_is_an_error_about_the_address(talk, service, answer, message):
    service.on("GET", "/v1/models", answer)
    with pytest.raises(errors.RosettaError, match=message):
        talk(talk.client.models)


def test_fields_of_a_newer_service_are_ignored(talk, service):
    service.on("GET", "/v1/models/a", values.model("a", colour="blue", layers=[]) | {"shape": {"of": [1]}})
    assert talk(talk.client.model, "a").units == 1280
