"""`rosetta match --approximate [--exact]`, from the command line through the service and back; a worker is played."""

from __future__ import annotations

import asyncio
import json
import threading
from uuid import uuid4

import pytest
import sqlalchemy as sa

from rosetta import AsyncClient, InvalidRequest
from service import jobs
from service.database import schema
from tests.integration.api.zoo import CLIP, DEAD, GAN, NET, VIT


@pytest.fixture
def worker(engine, service_url):
    """Does the jobs `correlate`: half of the last candidate's similarity is the best r, and so on backwards."""
    over = threading.Event()
    waits = sa.select(schema.jobs.c.id).where(schema.jobs.c.kind == "correlate", schema.jobs.c.state == "queued")

    def result(claim):
        model_id, unit = claim.payload["unit"]
        names, numbers = schema.models.c, {}
        with engine.connect() as connection:
            name = dict(map(tuple, connection.execute(sa.select(names.id, names.name))))
        matches = []
        for other, neighbour, similarity in reversed(claim.payload["candidates"]):
            numbers[other] = numbers.get(other, 0) + 1
            where = {"probe_set": "faces", "model": name[model_id], "layer": "main.8", "unit": unit, "channel": 1}
            there = {"neighbour_layer": "a", "neighbour_unit": neighbour, "neighbour_channel": neighbour}
            r = {"correlation": 0.5 / numbers[other], "similarity": similarity, "rank": numbers[other]}
            matches.append({**where, "neighbour_model": name[other], **there, **r})
        return {"images": 100, "matches": sorted(matches, key=lambda row: (row["neighbour_model"], row["rank"]))}

    def work():
        while not over.wait(0.02):
            with engine.connect() as connection:
                waiting = list(connection.scalars(waits))
            for job in waiting:
                if claim := jobs.claim(engine, job, 0, uuid4(), 60.0):
                    with jobs.publish(engine, claim, result(claim)):
                        pass

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def test_approximate_matches(client):
    unit = client.unit(GAN, 9)
    matches = unit.matches("clip", 2, approximate=True)
    assert [(match.neighbour_model, match.rank) for match in matches] == [(CLIP, 1), (CLIP, 2), (VIT, 1), (VIT, 2)]
    assert all(match.approximate for match in matches)
    # The sketch of a unit of the zoo on paper follows from its number: clip-vit-b32 has a unit 9 too.
    assert (matches[2].neighbour_unit, matches[2].correlation) == (9, pytest.approx(1, abs=1e-3))
    assert not any(match.approximate for match in unit.matches("clip", 2))
    with pytest.raises(InvalidRequest, match="leave out best_buddies, or approximate"):
        unit.matches(approximate=True, best_buddies=True)
    with pytest.raises(InvalidRequest, match="is dead on probe set faces"):
        client.unit(GAN, DEAD).matches(approximate=True)


def test_candidates_are_correlated(client, worker):
    unit = client.unit(GAN, 9)
    job = unit.correlate("clip", 3).wait(progress=False)
    estimates = {
        (match.neighbour_model, match.neighbour_unit): match.correlation
        for match in unit.matches("clip", 3, approximate=True)
    }
    found = {(match.neighbour_model, match.neighbour_unit): match.similarity for match in job.matches}
    assert found == pytest.approx(estimates)
    assert [(match.neighbour_model, match.correlation) for match in job.matches[:2]] == [(CLIP, 0.5), (CLIP, 0.25)]
    assert job.matches.to_pandas().correlation.max() == 0.5
    again = unit.correlate("clip", 3)
    assert (again.id, again.status, again.already_done) == (job.id, "done", True)
    assert again.matches == job.matches
    assert client.jobs(limit=1)[0].result == {"images": 100}  # without the matches, which are many
    assert client.job(job.id).matches == job.matches


def test_the_asynchronous_client(service_url, worker):
    async def ask():
        async with AsyncClient(service_url) as client:
            unit = await client.unit(GAN, 8)
            job = await unit.correlate(NET, top=4)
            return await unit.matches(NET, 4, approximate=True), (await job.wait(progress=False)).matches

    estimated, exact = asyncio.run(ask())
    assert [match.rank for match in estimated] == [match.rank for match in exact] == [1, 2, 3, 4]
    assert sorted(match.neighbour_unit for match in estimated) == sorted(match.neighbour_unit for match in exact)
    assert all(match.approximate for match in estimated)


def test_what_people_see(rosetta):
    ran = rosetta("match", GAN, "9", "--approximate", "--in", VIT, "--top", "2")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"unit 9 of {GAN} (main.8:1, 8x8), on probe set faces"
    assert lines[1].split() == ["model", "match", "r", "rank"]
    assert lines[2].split() == [VIT, "9", "(visual.transformer.resblocks.3.mlp:9)", "~1.000", "1"]
    assert lines[4:] == ["approximate: estimated from sketches; add --exact to correlate these candidates exactly"]
    assert "approximate" not in rosetta("match", GAN, "9", "--in", VIT).out


def test_what_people_see_of_exact_ones(rosetta, worker):
    ran = rosetta("match", f"{GAN}/main.8:1", "--approximate", "--exact", "--in", VIT, "--top", "2")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"unit 9 of {GAN} (main.8:1, 8x8), on probe set faces"
    assert lines[1].split() == ["model", "match", "r", "sketch", "rank"]
    assert lines[3].split() == [VIT, "9", "(a:9)", "0.250", "~1.000", "2"]
    assert len(lines) == 4
    assert "correlate (job " in ran.err
    again = rosetta("match", GAN, "9", "--approximate", "--exact", "--in", VIT, "--top", "2")
    assert (again.out, again.err) == (ran.out, "")  # at once


def test_json(rosetta, worker):
    rows = json.loads(rosetta("match", GAN, "9", "--approximate", "--top", "1", "--json").out)
    assert {(row["approximate"], row["rank"]) for row in rows} == {(True, 1)}
    exact = json.loads(rosetta("match", GAN, "9", "--approximate", "--exact", "--top", "1", "--json").out)
    assert [row["neighbour_unit"] for row in exact] == [row["neighbour_unit"] for row in rows]
    assert {row["correlation"] for row in exact} == {0.5}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--approximate", "--best-buddies"], 2, "leave out --approximate"),
        (["--exact"], 2, "--exact goes with --approximate"),
        (["--approximate", "--in", "lonely"], 1, "rosetta mine --probe faces --models lonely --sketch-only"),
        (["--approximate", "--exact", "--top", "101"], 1, "top"),
    ],
)
def test_what_cannot_be_is_one_line(rosetta, options, code, message):
    ran = rosetta("match", GAN, "9", *options)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
