"""Directions from the client, blocking and awaited, and from the command line."""

from __future__ import annotations

import asyncio
import json

import pytest

from rosetta import AsyncClient, NotFound
from tests.integration.api.directing import add_directions, add_walk
from tests.integration.api.zoo import GAN, NET


@pytest.fixture(scope="module")
def number(engine, settings, service_url):
    with engine.begin() as conn:
        found = add_directions(conn)
        add_walk(conn, settings, found)
        return found


def test_directions_are_rows_with_what_moves(client, number):
    found = client.directions(GAN)
    assert (found.about.id, [one.axis for one in found]) == (number, [0, 1, 2])
    assert "25.0%  " in repr(found)
    assert f"concept 1, {NET}/3" in repr(found)
    assert found.to_pandas().share.tolist() == [0.25, 0.125, 0.0625]
    assert list(client.directions(number)) == list(found)
    assert [one.id for one in client.direction_sets(GAN)] == [number]
    with pytest.raises(NotFound, match="rosetta directions find efficientnet-lite0"):
        client.directions(NET)


def test_a_walk_and_the_job(client, number):
    assert client.walk(client.directions(GAN)).media_type == "image/png"
    assert client.walk(number, format="webp").media_type == "image/webp"
    with pytest.raises(NotFound, match="axes 0 to 2"):
        client.walk(number, 7)
    job = client.find_directions(GAN, axes=2, models=NET, seed=4)
    assert (job.last_seen.parameters["axes"], job.last_seen.parameters["seed"]) == (2, 4)
    job.cancel()


def test_awaited(service_url, number):
    async def run():
        async with AsyncClient(service_url) as client:
            job = await client.find_directions(GAN, seed=5)
            await job.cancel()
            return await client.directions(GAN), await client.direction_sets(), await client.walk(number)

    found, sets, picture = asyncio.run(run())
    assert (found.about.id, len(sets), picture.media_type) == (number, 1, "image/png")


def test_on_the_command_line(rosetta, number, tmp_path):
    assert [one["id"] for one in json.loads(rosetta("directions", "list", "--json").out)] == [number]
    assert "25.0%" in rosetta("directions", "show", GAN).out
    assert json.loads(rosetta("directions", "show", str(number), "--json").out)["axes"] == 3
    picture = tmp_path / "walk.png"
    assert "axis 0 of dcgan-faces, 9 images" in rosetta("directions", "walk", GAN, str(picture)).out
    assert picture.read_bytes().startswith(b"\x89PNG")
    wrong = rosetta("directions", "walk", GAN, str(tmp_path / "walk.gif"))
    assert (wrong.code, ".webp" in wrong.err) == (2, True)
    assert rosetta("directions", "find", NET).code == 1
