"""Removing a probe set that jobs are about."""

import pytest

from rosetta.errors import Conflict
from service import jobs
from service.queries.probes import remove_probe
from tests.integration.database import rows


@pytest.fixture
def queue(engine):
    with engine.begin() as conn:
        rows.add_probe_set(conn, "photos")

    def add(kind):
        return jobs.create(engine, kind, f"{kind} test", {"probe": "photos"}, [{}])

    return add


def test_jobs_that_nobody_asked_for_go_with_it_and_others_keep_it(engine, queue):
    layout, mining = queue("map"), queue("mine")
    with pytest.raises(Conflict, match=f"job {mining} mines on photos"), engine.begin() as conn:
        remove_probe(conn, "photos")
    with engine.connect() as conn:
        assert jobs.get(conn, layout).state == "queued"  # nothing was done
    jobs.cancel(engine, mining)
    with engine.begin() as conn:
        remove_probe(conn, "photos")
    with engine.connect() as conn:
        assert jobs.get(conn, layout).state == "cancelled"
