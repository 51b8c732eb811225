"""The web pages of a service that has nothing yet."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app


@pytest.fixture(scope="module")
def empty(engine, settings):
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", "No models yet: <code>rosetta models add"),
        ("/", "No worker is running: start one with <code>rosetta worker</code>"),
        ("/", "No probe set yet: <code>rosetta probes add"),
        ("/models", "No models yet: <code>rosetta models add"),
        ("/concepts", "No concepts yet"),
        ("/translations", "No generator is registered: <code>rosetta models add"),
        ("/translations", "Nothing was made yet"),
        ("/jobs", "No jobs yet: <code>rosetta mine"),
        ("/jobs?state=failed", "No job is failed"),
    ],
)
def test_empty_pages_say_what_to_do(empty, path, said):
    page = empty.get(path)
    assert page.status_code == 200
    assert said in page.text


def test_nothing_is_known(empty):
    page = empty.get("/models/clip")
    assert page.status_code == 404
    assert "there are none yet; add one with `rosetta models add" in page.text
    assert empty.get("/?q=clip").status_code == 422
