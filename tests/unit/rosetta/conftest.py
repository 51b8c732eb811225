from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rosetta import waiting, wire
from tests.unit.rosetta.fake import Awaiting, Blocking, FakeService, talking


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "RETRY_DELAYS_S", (0.0, 0.0))
    monkeypatch.setattr(waiting, "_POLL_S", 0.0)


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture(params=[Blocking, Awaiting])
def talk(request: pytest.FixtureRequest, service: FakeService) -> Iterator[Any]:
    """Calls methods of a blocking client in one run, of an asynchronous one in the other."""
    with talking(request.param, service) as talking_:
        yield talking_
