"""Search by image in the client and on the command line, up to the worker: another test has one."""

import io
import json
import threading
from uuid import uuid4

import pytest
import sqlalchemy as sa
from PIL import Image

from rosetta import Client, InvalidRequest, NotFound
from service import jobs
from service.database import schema
from tests.integration.api.zoo import GAN, NET

MATCH = {"probe_set": "faces", "model": NET, "layer": "blocks.1", "channel": 3, "unit": 3}
MATCH |= {"score": 2.5, "inside": 2.0, "outside": -0.5, "peak": 4.0}


@pytest.fixture
def picture():
    return Image.linear_gradient("L").resize((60, 40)).convert("RGB")


@pytest.fixture(autouse=True)
def worker(engine, service_url, monkeypatch):
    """Plays a worker that finds the same in every image."""
    monkeypatch.setattr("service.api.making.workers_at_work", lambda _conn: 1)
    stop = threading.Event()

    def work():
        columns = schema.jobs.c
        while not stop.wait(0.02):
            with engine.connect() as conn:
                waiting = conn.scalars(sa.select(columns.id).where(columns.kind == "look", columns.state == "queued"))
                numbers = list(waiting)
            for number in numbers:
                if claim := jobs.claim(engine, number, 0, uuid4(), 60.0):
                    with jobs.publish(
                        engine, claim, {"matches": [MATCH, {**MATCH, "unit": 2, "outside": None}], "left_out": 7}
                    ):
                        pass

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_of_a_file_bytes_or_a_picture(client: Client, picture, tmp_path):
    path = tmp_path / "me.png"
    picture.save(path)
    ways = [path, str(path), path.read_bytes(), picture]
    found = [client.search(image=image, box=(10, 10, 20, 20), model=NET) for image in ways]
    for rows in found:
        assert [(row.rank, row.model, row.unit, row.score) for row in rows] == [(1, NET, 3, 2.5), (2, NET, 2, 2.5)]
    assert list(client.search(image=path, top=1)) == list(found[0][:1])
    assert "blocks.1:3" in found[0]._repr_html_()
    assert (found[0].left_out, found[0].models, found[0].probe_set) == (7, (NET,), "photos")
    assert "7 units were left out" in found[0][:1]._repr_html_()


def test_refused(client: Client, picture, tmp_path):
    with pytest.raises(InvalidRequest, match="cannot be read"):
        client.search(image=tmp_path / "nowhere.png")
    with pytest.raises(InvalidRequest, match="no format that Pillow reads"):
        client.search(image=b"hello")
    with pytest.raises(InvalidRequest, match="outside the image of 60 x 40"):
        client.search(image=picture, box=(50, 0, 20, 20))
    with pytest.raises(InvalidRequest, match="looks at no image"):
        client.search(image=picture, model=GAN)
    with pytest.raises(NotFound, match="nowhere"):
        client.search(image=picture, probe="nowhere")
    file = io.BytesIO()
    picture.save(file, "GIF", save_all=True, append_images=[Image.new("RGB", (60, 40))])
    with pytest.raises(InvalidRequest, match="has 2 pictures"):
        client.search(image=file.getvalue())
    with pytest.raises(InvalidRequest, match="name the image too"):
        client.search(text="hair", box=(0, 0, 1, 1))  # type: ignore[call-overload]


def test_on_the_command_line(rosetta, picture, tmp_path):
    path = tmp_path / "me.png"
    picture.save(path)
    ran = rosetta("search", "--image", str(path), "--box", "10,10,20,20")
    assert ran.code == 0
    assert "7 units were left out" in ran.err
    for text in (f"{NET} 3 (blocks.1:3)", "2.50", "-0.50", "inside"):
        assert text in ran.out
    assert "inside" not in rosetta("search", "--image", str(path)).out
    assert json.loads(rosetta("search", "--image", str(path), "--json").out)[0]["unit"] == 3
    for command, code, message in (
        (("--image", str(path), "--box", "1,2,3"), 2, "four numbers"),
        (("--text", "hair", "--box", "1,2,3,4"), 2, "--image"),
        (("--image", str(tmp_path / "no.png")), 1, "cannot be read"),
    ):
        refused = rosetta("search", *command)
        assert (refused.code, message in refused.err) == (code, True)
