"""Search by image on real networks: what is uploaded goes through them, and units rank by how they answer to it."""

import hashlib
import io
import threading

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw

from rosetta.errors import InvalidRequest, NotFound
from service.api.app import create_app
from service.database import schema
from service.pictures.reading import read_image
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_look import answer_of, look_at, submit_look
from service.submit_register import submit_register
from service.uploads import query_path
from workers.probes import preprocess
from workers.zoo import registry

GAN, AGE, MOBILE = "dcgan-faces", "age-net", "mobilenet-v2"
WIDE = (300, 200)  # pixels of the picture; networks see 200 x 200 of it, from x = 50


@pytest.fixture(scope="module")
def zoo(engine, settings, worker, celery):
    for name in (GAN, AGE, MOBILE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=24, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, AGE, MOBILE], sketch_only=True))


@pytest.fixture(scope="module")
def picture():
    """Noise, and a bright disc in a box of it."""
    noise = np.random.default_rng(0).integers(0, 60, (WIDE[1], WIDE[0], 3), np.uint8)
    image = Image.fromarray(noise)
    ImageDraw.Draw(image).ellipse((150, 50, 210, 110), fill=(255, 230, 40))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


BOX = (150.0, 50.0, 60.0, 60.0)


@pytest.fixture(scope="module")
def sent(settings, picture):
    digest = hashlib.sha256(picture).hexdigest()
    path = query_path(settings, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)
    return digest


def ask(engine, settings, image, **options):
    with engine.connect() as connection:
        return look_at(connection, settings, image, **options)


def expected(engine, settings, sent, name, region):
    """Score of every unit of a network by number, cell by cell, as region_scores' own test does it for one map."""
    network = registry.load(f"demo:{name}")
    pixels = torch.from_numpy(read_image(query_path(settings, sent), 64).copy()).permute(2, 0, 1)[None].float() / 255
    maps = {}
    with torch.inference_mode():
        handles = [
            network.module.get_submodule(layer).register_forward_hook(
                lambda _module, _input, out, layer=layer: maps.update({layer: out[0].double()})
            )
            for layer in network.layers
        ]
        network.module(preprocess(pixels, network.preprocessing))
        for handle in handles:
            handle.remove()
    with engine.connect() as connection:
        columns = schema.unit_statistics.c
        model = connection.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == name))
        statement = sa.select(columns.mean, columns.std, columns.dead).where(columns.model_id == model)
        statistics = connection.execute(statement.order_by(columns.unit)).all()
    scores = {}
    left, top, right, bottom = region
    for layer in network.layers:
        for own in maps[layer]:
            row = statistics[len(scores)]
            height, width = own.shape
            ys, xs = np.mgrid[0 : height * 20, 0 : width * 20]  # cells in 400 parts
            inside = (ys + 0.5 >= top * height * 20) & (ys + 0.5 < bottom * height * 20)
            inside &= (xs + 0.5 >= left * width * 20) & (xs + 0.5 < right * width * 20)
            fine = np.kron(own.numpy(), np.ones((20, 20)))
            z = (fine - row.mean) / row.std if not row.dead else np.full_like(fine, -np.inf)
            scores[len(scores)] = z[inside].mean() - z[~inside].mean() if not row.dead else None
    return scores


def test_units_rank_by_the_box(engine, settings, celery, worker, zoo, sent):
    look = ask(engine, settings, sent, box=BOX, within=AGE)
    assert look.region == (0.5, 0.25, 0.8, 0.55)
    job = worker(submit_look(engine, celery, look))
    found = answer_of(look, job, 50).items
    scores = expected(engine, settings, sent, AGE, look.region)
    best = sorted((score, unit) for unit, score in scores.items() if score is not None)[::-1]
    assert found[0].unit == best[0][1]
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    for match in found:
        assert match.score == pytest.approx(scores[match.unit], rel=0.02, abs=0.02)
        assert match.score == pytest.approx(match.inside - match.outside, abs=1e-9)
        assert (match.model, match.probe_set) == (AGE, "faces")
    assert found[0].score > 3  # a yellow disc in the dark moves something
    again = submit_look(engine, celery, ask(engine, settings, sent, box=BOX, within=AGE))
    assert (again.id, again.already_done) == (job.id, True)


def test_every_network_that_looks_where_none_is_named(engine, settings, celery, worker, zoo, sent):
    look = ask(engine, settings, sent)
    assert [row.name for row in look.models] == [AGE, MOBILE]
    found = answer_of(look, worker(submit_look(engine, celery, look)), 200).items
    assert {match.model for match in found} == {AGE, MOBILE}
    assert all(match.outside is None and match.score == match.inside for match in found)


def test_over_http(settings, engine, worker, celery, zoo, picture, monkeypatch):
    """The image is sent, and the question waits while a worker, here a thread, does the job."""
    monkeypatch.setattr("service.api.making.workers_at_work", lambda _conn: 1)
    box = [140, 40, 80, 80]

    def work():
        for _ in range(200):
            with engine.connect() as connection:
                columns = schema.jobs.c
                waiting = sa.select(columns.id).where(columns.kind == "look", columns.state == "queued")
                jobs = connection.execute(waiting).all()
            for job in jobs:
                worker(job)
            if stop.wait(0.05):
                return

    stop = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as http:
            digest = hashlib.sha256(picture).hexdigest()
            assert http.put(f"/v1/images/{digest}", params={"still": True}, content=picture).status_code == 201
            answer = http.post("/v1/search", json={"image": digest, "box": box, "in": AGE, "top": 5})
            assert answer.status_code == 200, answer.text
            items = answer.json()["items"]
            assert [item["rank"] for item in items] == [1, 2, 3, 4, 5]
            shown = http.get(f"/v1/images/{digest}", params={"size": 96, "format": "png"})
            assert Image.open(io.BytesIO(shown.content)).size == (96, 64)
            wanted = {"model": AGE, "unit": items[0]["unit"], "size": 64, "format": "png"}
            heat = http.get(f"/v1/images/{digest}/heatmap", params=wanted)
            assert heat.status_code == 200, heat.text
            pixels = np.asarray(Image.open(io.BytesIO(heat.content)).convert("RGB")).astype(int)
            hot = (pixels.sum(2) > 450).mean(), (pixels[20:32, 36:48].sum(2) > 450).mean()
            assert hot[1] > hot[0]  # it fires where the disc is
            assert http.get(heat.request.url, headers={"if-none-match": heat.headers["etag"]}).status_code == 304
            nobody = http.get(f"/v1/images/{'0' * 64}")
            assert (nobody.status_code, "no uploaded image" in nobody.text) == (404, True)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"within": GAN}, InvalidRequest, "looks at no image"),
        ({"within": "nobody"}, NotFound, "nobody"),
        ({"probe": "nowhere"}, NotFound, "nowhere"),
        ({"box": (0, 0, 40, 40)}, InvalidRequest, "outside the central square"),
        ({"box": (250, 150, 60, 60)}, InvalidRequest, "outside the image of 300 x 200 pixels"),
        ({"box": (-1, 0, 60, 60)}, InvalidRequest, "outside the image"),
        ({"box": (0, 0, 0, 10)}, InvalidRequest, "above 0"),
        ({"box": (0, 0, 300, 200)}, InvalidRequest, "leaves nothing"),
        ({"box": (0, 0, 10)}, InvalidRequest, "four numbers"),
        ({"box": (0, 0, float("nan"), 1)}, InvalidRequest, "four numbers"),
    ],
)
def test_questions_that_are_none(engine, settings, zoo, sent, options, error, message):
    with pytest.raises(error, match=message):
        ask(engine, settings, sent, **options)


def test_a_model_that_was_not_mined_there(engine, settings, celery, worker, zoo, sent):
    worker(submit_register(engine, celery, settings, name="late", source="demo:efficientnet-lite0"))
    with pytest.raises(NotFound, match="rosetta mine --probe faces --models late"):
        ask(engine, settings, sent, within="late", probe="faces")
    assert "late" not in [row.name for row in ask(engine, settings, sent).models]
