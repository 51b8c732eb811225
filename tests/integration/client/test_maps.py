"""Maps from the client, blocking and awaited, and from the command line."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from rosetta import AsyncClient, Client, NotFound
from tests.integration.api.mapping import add_map
from tests.integration.api.zoo import AGE, DEAD, GAN

ALIVE = 13 + 12 + 9 + 10 + 6


@pytest.fixture(scope="module")
def maps(engine, service_url) -> list[int]:
    with engine.begin() as conn:
        return [add_map(conn, "faces", version, seed=version) for version in (1, 2)]


def test_a_map_is_arrays_and_a_data_frame(client, maps):
    found = client.map("faces")
    assert (found.about.id, found.about.version, len(found)) == (maps[1], 2, ALIVE)
    assert "50 units of dcgan-faces (13)" in repr(found)
    assert np.asarray(found.x).dtype == np.float32
    frame = found.to_pandas()
    assert list(frame.columns) == ["model", "layer", "unit", "channel", "x", "y", "concept"]
    assert len(frame) == ALIVE
    gan = frame[frame.model == GAN]
    assert DEAD not in set(gan.unit)
    assert gan[gan.unit == 9][["layer", "channel"]].to_numpy().tolist() == [["main.8", 1]]
    assert set(gan[gan.concept.notna()].unit) == {8, 9}
    assert (frame.x[0], frame.y[0]) == (-9, 9)
    assert frame[frame.model == AGE].layer.unique().tolist() == ["conv1/Conv"]


def test_versions(client, maps):
    listed = client.maps("faces")
    assert [one.version for one in listed] == [2, 1]
    assert "version" in repr(listed)
    assert len(client.maps(limit=1)) == 1
    assert client.map("faces", version=1).about.id == maps[0]
    with pytest.raises(NotFound, match="versions up to 2, not 7"):
        client.map("faces", version=7)
    with pytest.raises(NotFound, match="rosetta map make --probe photos"):
        client.map("photos")
    with pytest.raises(NotFound, match="nowhere"):
        client.map("nowhere")


def test_the_job_and_the_picture(client, maps):
    job = client.make_map("faces", n_neighbors=7)
    assert (job.last_seen.kind, job.last_seen.parameters["n_neighbors"]) == ("map", 7)
    assert client.map_picture(maps[0], "layer", size=200).startswith(b"\x89PNG")


def test_awaited(service_url, maps):
    async def run():
        async with AsyncClient(service_url) as client:
            found = await client.map("faces", version=1)
            listed = await client.maps("faces")
            job = await client.make_map("faces", seed=5)
            return found, listed, job.last_seen.parameters["seed"], await client.map_picture(maps[0])

    found, listed, seed, picture = asyncio.run(run())
    with Client(service_url) as client:
        assert found == client.map("faces", version=1)
    assert (len(listed), seed, picture[:4]) == (2, 5, b"\x89PNG")


def test_on_the_command_line(rosetta, maps, tmp_path):
    assert rosetta("map", "list", "--probe", "faces").code == 0
    assert [one["version"] for one in json.loads(rosetta("map", "list", "--json").out)] == [2, 1]
    picture, table = tmp_path / "faces.png", tmp_path / "faces.csv"
    assert "50 units, version 2" in rosetta("map", "save", "faces", str(picture), "--colour", "concept").out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert rosetta("map", "save", "faces", str(table), "--version", "1").code == 0
    assert len(table.read_text().splitlines()) == ALIVE + 1
    wrong = rosetta("map", "save", "faces", str(tmp_path / "faces.gif"))
    assert (wrong.code, ".png" in wrong.err) == (2, True)
    assert set(tmp_path.iterdir()) == {picture, table}
