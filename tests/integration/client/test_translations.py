"""Translations in the client and on the command line, over a played worker; real ones are made in another test."""

import asyncio
import io
import json
import threading
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from rosetta import Align, AsyncClient, ChangeUnit, Client, ImageReference, InvalidRequest, NotFound, Optimiser, Shift
from service import jobs
from service.database import schema
from tests.integration.api.zoo import AGE, GAN, NET


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def worker(engine, service_url):
    """Plays a worker: whatever is asked becomes red."""
    stop = threading.Event()

    def carry_out(number):
        claim = jobs.claim(engine, number, 0, uuid4(), 60.0)
        if claim is None:
            return
        recipe = claim.payload["recipe"]
        outcome = {}
        with jobs.publish(engine, claim, outcome) as conn:
            values = {"kind": recipe["kind"], "parent_id": recipe["parent"], "recipe": recipe, "job_id": number}
            values |= {"generator_id": claim.payload["generator"], "pairs": len(recipe["pairs"]), "code_version": "1"}
            probe_set = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
            new = sa.insert(schema.translations).values(probe_set_id=probe_set, images=len(recipe["images"]), **values)
            outcome["translation"] = conn.scalar(new.returning(schema.translations.c.id))
            for position, image in enumerate(recipe["images"]):
                row = {"reference": image, "target": png("white"), "picture": png("red"), "space": "z", "start": 0}
                row |= {"latent": np.arange(3, dtype="<f4").tobytes(), "shape": [3], "losses": [1.0, 0.5]}
                row |= {"metrics": {"correlation": 0.5, "psnr": 20.0, "ssim": 0.7}, "position": position}
                conn.execute(sa.insert(schema.translation_images).values(translation_id=outcome["translation"], **row))

    def work():
        columns = schema.jobs.c
        while not stop.wait(0.02):
            with engine.connect() as conn:
                waiting = sa.select(columns.id).where(columns.kind.in_(["invert", "edit"]), columns.state == "queued")
                numbers = list(conn.scalars(waiting))
            for number in numbers:
                carry_out(number)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def picture():
    return Image.linear_gradient("L").resize((60, 40)).convert("RGB")


def test_invert_look_edit_and_again(client: Client, picture, tmp_path):
    path = tmp_path / "me.png"
    picture.save(path)
    images = [path, picture, ImageReference(probe="faces", position=3)]
    job = client.invert(GAN, images, models=[NET], optimiser=Optimiser(steps=5, draws=4), seed=3)
    made = client.translation(job.wait(progress=False))
    assert (made.kind, made.generator, len(made.items), made.recipe["seed"]) == ("inversion", GAN, 3, 3)
    assert made.items[2].reference == ImageReference(probe="faces", position=3)
    assert made.recipe["optimiser"]["steps"] == 5
    assert Image.open(io.BytesIO(made.picture(1))).getpixel((0, 0)) == (255, 0, 0)
    assert Image.open(io.BytesIO(made.picture(1, "target", size=16))).size == (16, 16)
    assert made.latents().tolist() == [[0, 1, 2]] * 3
    shown = made._repr_html_()
    assert shown.count("<img") >= 6
    assert "PSNR" in shown
    pair = made.recipe["pairs"][0]
    unit = f"{GAN}/{pair['layer']}:{pair['channel']}"
    changes = [Shift(8, 0), ChangeUnit("remove", unit=unit), Align(ImageReference(translation=made.id, position=0))]
    edited = client.translation(made.edit(*changes, positions=[1]).wait(progress=False))
    assert (edited.kind, edited.parent, len(edited.items)) == ("edit", made.id, 1)
    assert [edit["kind"] for edit in edited.recipe["edits"]] == ["shift", "unit", "align"]
    again = client.run_recipe(edited.recipe)
    assert (again.already_done, again.result["translation"]) == (True, edited.id)
    listed = client.translations(GAN)
    assert [one.id for one in listed] == [edited.id, made.id]
    assert [one.id for one in client.translations(kind="inversion")] == [made.id]
    client.remove_translation(made.id)
    assert client.translation(edited.id).parent is None
    with pytest.raises(NotFound, match=f"no translation {made.id}"):
        client.translation(made.id)


def test_refused(client: Client, picture):
    with pytest.raises(InvalidRequest, match="makes no images"):
        client.invert(NET, picture)
    with pytest.raises(InvalidRequest, match="share no pair"):
        client.invert(GAN, picture, models=AGE)
    with pytest.raises(InvalidRequest, match="no format that Pillow reads"):
        client.invert(GAN, b"hello")
    job = client.invert(GAN, picture).wait(progress=False)
    made = client.translation(job)
    with pytest.raises(InvalidRequest, match="name an edit"):
        made.edit()
    with pytest.raises(InvalidRequest, match="nothing is left"):
        made.edit(Shift(64, 0))
    with pytest.raises(InvalidRequest, match="this is no recipe"):
        client.run_recipe({})
    with pytest.raises(InvalidRequest, match="made no translation"):
        client.translation(client.mine("faces", [GAN, NET]))


def test_without_blocking(service_url: str, picture):
    async def use() -> None:
        async with AsyncClient(service_url) as client:
            job = await client.invert(GAN, picture, models=NET, seed=5)
            made = await client.translation(await job.wait(progress=False))
            assert (await made.picture()).media_type == "image/png"
            assert (await made.latents()).shape == (1, 3)
            edited = await (await made.edit(Shift(1, 1))).wait(progress=False)
            assert (await client.translation(edited)).parent == made.id
            assert (await client.run_recipe(made.recipe)).already_done
            assert len(await client.translations(kind="edit")) >= 1
            await client.remove_translation(made.id)
            assert len(await client.send_image(picture)) == 64

    asyncio.run(use())


def test_on_the_command_line(rosetta, picture, tmp_path):
    path = tmp_path / "me.png"
    picture.save(path)
    out = tmp_path / "made"
    command = ["invert", GAN, str(path), "--probe-image", "faces:3", "--models", NET, "--steps", "5", "--seed", "9"]
    ran = rosetta(*command, "--out", str(out))
    assert ran.code == 0, ran.err
    for text in ("inversion", "2 images", "image 3 of faces", "20.0"):
        assert text in ran.out
    assert sorted(one.name for one in out.iterdir()) == [
        "0-target.png", "0.png", "1-target.png", "1.png", "recipe.json"
    ]  # fmt: skip
    number = json.loads(rosetta("translations", "list", "--json").out)[0]["id"]
    pair = json.loads((out / "recipe.json").read_text())["pairs"][0]
    changes = ["--shift", "4,-2", "--zoom", "1.25,8,8", "--copy", "0,0,4,4,8,8", "--copy-from", str(path)]
    changes += ["--lower", f"{GAN}/{pair['layer']}:{pair['channel']}", "--box", "0,0,9,9", "--align", "faces:3"]
    edited = json.loads(rosetta("edit", str(number), *changes, "--position", "0", "--json").out)
    assert [edit["kind"] for edit in edited["recipe"]["edits"]] == ["shift", "zoom", "copy-paste", "unit", "align"]
    assert edited["recipe"]["edits"][1]["centre"] == [8, 8]
    assert f"edit of {number}" in rosetta("translations", "list").out
    assert "edit" in rosetta("translations", "show", str(edited["id"])).out
    again = rosetta("translations", "run", str(out / "recipe.json"), "--json")
    assert json.loads(again.out)["id"] == number
    assert f"removed translation {number}" in rosetta("translations", "remove", str(number)).out


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (f"invert {GAN}", 2, "Name an image"),
        (f"invert {GAN} --probe-image 3", 2, "PROBE:N"),
        (f"invert {GAN} --probe-image faces:3 --q-value x", 2, "is no number"),
        (f"invert {GAN} --probe-image faces:999", 1, "0 to 99"),
        ("edit 1", 2, "Name a change"),
        ("edit 1 --shift 8", 2, "has 1 numbers, not 2"),
        ("edit 9999 --shift 8,0", 1, "no translation 9999"),
        ("translations run nowhere.json", 1, "is no recipe"),
        ("translations show 9999", 1, "no translation 9999"),
    ],
)
def test_refused_on_the_command_line(rosetta, command, code, message):
    ran = rosetta(*command.split(" "))
    assert (ran.code, ran.out) == (code, "")
    assert message.lower() in ran.err.lower()
