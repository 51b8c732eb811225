"""Effects from the client, blocking and awaited, and from the command line."""

from __future__ import annotations

import asyncio
import json

import pytest

from rosetta import AsyncClient, InvalidRequest
from tests.integration.api.causing import add_effects
from tests.integration.api.zoo import GAN, NET


@pytest.fixture(scope="module")
def pairs(engine, service_url):
    with engine.begin() as conn:
        return add_effects(conn)


def test_effects_are_rows(client, pairs):
    found = client.effects(model=NET)
    assert [(one.unit, one.neighbour_unit) for one in found] == pairs
    assert "inside / outside" in repr(found)
    assert " 4.0" in repr(found)
    assert list(found.to_pandas().response) == pytest.approx([2.0, -0.1])
    assert list(client.unit(GAN, 8).effects()) == list(client.effects(f"{GAN}/8")) == [found[0]]
    assert client.unit(GAN, 8).effects(action="boost") == client.effects(action="set")
    with pytest.raises(InvalidRequest):
        client.effects("813")


def test_the_job(client, pairs):
    job = client.intervene(GAN, NET, action="boost", amount=3.0, limit=2, latents=4)
    wanted = job.last_seen.parameters
    assert (wanted["action"], wanted["amount"], wanted["latents"], wanted["models"]) == ("boost", 3.0, 4, [NET])
    job.cancel()


def test_awaited(service_url, pairs):
    async def run():
        async with AsyncClient(service_url) as client:
            unit = await client.unit(GAN, 8)
            job = await client.intervene(GAN, action="set", box=[0, 0, 8, 8])
            await job.cancel()
            return await client.effects(model=GAN), await unit.effects(), job.last_seen.parameters["box"]

    found, own, box = asyncio.run(run())
    assert (len(found), len(own), box) == (2, 1, [0, 0, 8, 8])


def test_on_the_command_line(rosetta, client, pairs):
    assert [one["unit"] for one in json.loads(rosetta("effects", "list", "--json").out)] == [8, 9]
    shown = rosetta("effects", "list", "--unit", f"{GAN}/9")
    assert (shown.code, "-0.100" in shown.out) == (0, True)
    assert "rosetta effects find" in rosetta("effects", "list", "--action", "set").out
    wrong = rosetta("effects", "find", GAN, "--box", "60", "0", "10", "10")
    assert (wrong.code, "inside the frame" in wrong.err) == (1, True)
