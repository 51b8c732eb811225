"""Directions on real networks: found, stored with what moves, walked along, refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from fastapi.testclient import TestClient
from PIL import Image

from rosetta.errors import InvalidRequest, NotFound
from service.api.app import create_app
from service.database import schema
from service.pictures.cache import Cache
from service.queries import directions
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_cluster import submit_cluster
from service.submit_directions import submit_directions, submit_walk, walk_along
from service.submit_register import submit_register
from workers.probes import GeneratorProbes
from workers.zoo import registry
from workers.zoo.base import Latents

GAN, AGE = "dcgan-faces", "age-net"
FEW = {"axes": 3, "samples": 160, "latents": 2, "controls": 5}


@pytest.fixture(scope="module")
def zoo(engine, settings, worker, celery):
    for name in (GAN, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=16, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, AGE]))
    worker(submit_cluster(engine, celery, probe="faces", q_value=1.0))


@pytest.fixture(scope="module")
def found(engine, worker, celery, zoo):
    """The number of some directions."""
    return worker(submit_directions(engine, celery, generator=GAN, **FEW)).result["directions"]


def test_directions_are_stored_with_what_moves(engine, celery, found):
    with engine.connect() as connection:
        one = directions.get_directions(connection, found)
        row = directions.directions_row(connection, found)
        concepts = set(connection.scalars(sa.select(schema.concepts.c.id)))
    assert (one.generator, one.probe_set, one.space, one.layer) == (GAN, "faces", "z", "main.2")
    assert (one.axes, one.samples, len(one.items)) == (3, 160, 3)
    shares = [item.share for item in one.items]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) < 1
    steps = np.frombuffer(row.steps, "<f4").reshape(3, 100)
    assert np.linalg.norm(steps, axis=1) == pytest.approx([item.deviation for item in one.items], rel=1e-5)
    for item in one.items:
        z = [abs(moved.z) for moved in item.movements]
        assert z == sorted(z, reverse=True)
        assert {moved.model for moved in item.movements} == {GAN, AGE}
        assert {moved.concept for moved in item.movements if moved.concept} <= concepts
        units = [moved for moved in item.movements if moved.unit is not None]
        assert len(units) == 40
        assert all(moved.layer and moved.channel is not None for moved in units)
    assert any(moved.concept for item in one.items for moved in item.movements)
    again = submit_directions(engine, celery, generator=GAN, **FEW)
    assert (again.state, again.result["directions"]) == ("done", found)


def test_a_walk_goes_through_the_image_of_its_seed(engine, settings, worker, celery, found):
    with engine.connect() as connection:
        walk = walk_along(connection, found, axis=1, low=-1.5, high=1.5, steps=3, seed=7)
        row = directions.directions_row(connection, found)
    worker(submit_walk(engine, celery, walk))
    strip = Cache(settings).read_image(Cache(settings).walk_path(walk.key))
    assert strip.shape == (64, 3 * 64, 3)
    network = registry.load(f"demo:{GAN}")
    z = GeneratorProbes(network, 7, 1).latents([0]).values
    step = torch.from_numpy(np.frombuffer(row.steps, "<f4").reshape(3, 100)[1].copy())
    with torch.inference_mode():
        latents = Latents(torch.cat([z - 1.5 * step, z, z + 1.5 * step]))
        own = network.images(network.module(*network.inputs(latents))).mul(255).round().byte()
    expected = np.concatenate(list(own.permute(0, 2, 3, 1).numpy()), axis=1)
    assert np.abs(strip.astype(int) - expected).max() <= 1
    assert np.abs(expected[:, :64].astype(int) - expected[:, 128:]).mean() > 2


def test_a_walk_from_a_translation(engine, settings, worker, celery, found):
    z = np.random.default_rng(0).standard_normal((1, 100)).astype("<f4")
    with engine.begin() as conn:
        gan, faces = (conn.scalar(sa.select(t.c.id).limit(1)) for t in (schema.models, schema.probe_sets))
        keys = {"generator_id": gan, "probe_set_id": faces, "recipe": {}, "images": 1, "pairs": 1, "code_version": "1"}
        new = sa.insert(schema.translations).values(kind="inversion", **keys).returning(schema.translations.c.id)
        made = conn.scalar(new)
        image = {"reference": {"probe": "faces", "position": 0}, "target": b"", "picture": b"", "space": "z"}
        image |= {"latent": z.tobytes(), "shape": [100], "start": 0, "metrics": {"correlation": 0.5}, "losses": [1.0]}
        conn.execute(sa.insert(schema.translation_images).values(translation_id=made, position=0, **image))
    with engine.connect() as connection:
        walk = walk_along(connection, found, steps=3, translation=made)
        with pytest.raises(NotFound, match="images 0 to 0, not 4"):
            walk_along(connection, found, translation=made, position=4)
    worker(submit_walk(engine, celery, walk))
    strip = Cache(settings).read_image(Cache(settings).walk_path(walk.key))
    network = registry.load(f"demo:{GAN}")
    with torch.inference_mode():
        own = network.images(network.module(*network.inputs(Latents(torch.from_numpy(z))))).mul(255).round().byte()
    assert np.abs(strip[:, 64:128].astype(int) - own[0].permute(1, 2, 0).numpy()).max() <= 1


def test_over_http(engine, settings, worker, celery, found):
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as http:
        params = {"axis": 0, "sigma": "-1..1", "steps": 3, "seed": 3}
        waiting = http.get(f"/v1/directions/{found}/walk", params=params)
        assert waiting.status_code == 503  # no worker is at work, and the job waits for one
        with engine.connect() as connection:
            walk = walk_along(connection, found, low=-1, high=1, steps=3, seed=3)
        worker(submit_walk(engine, celery, walk))
        answer = http.get(f"/v1/directions/{found}/walk", params=params | {"size": 32, "format": "png"})
        assert Image.open(io.BytesIO(answer.content)).size == (96, 32)
        version = answer.headers["x-rosetta-version"]
        kept = http.get(f"/v1/directions/{found}/walk", params=params | {"version": version})
        assert "immutable" in kept.headers["cache-control"]
        assert kept.headers["content-type"] == "image/webp"
        known = http.get(f"/v1/directions/{found}/walk", params=params, headers={"if-none-match": kept.headers["etag"]})
        assert known.status_code == 304


def test_a_generator_that_was_not_mined_has_directions_all_the_same(engine, settings, worker, celery, zoo):
    worker(submit_register(engine, celery, settings, name="other", source=f"demo:{GAN}"))
    job = worker(submit_directions(engine, celery, generator="other", layer="main.5", **FEW))
    with engine.connect() as connection:
        one = directions.get_directions(connection, job.result["directions"])
    assert (one.probe_set, one.layer, [item.movements for item in one.items]) == (None, "main.5", [()] * 3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"axes": 0}, InvalidRequest, "axes lies between 1"),
        ({"samples": 100}, InvalidRequest, "samples lies between 101"),
        ({"controls": 1}, InvalidRequest, "controls lies between 2"),
        ({"class_index": 0}, InvalidRequest, "has no class 0"),
        ({"layer": "main.3"}, NotFound, "main"),
        ({"probe": "nowhere"}, NotFound, "nowhere"),
        ({"generator": AGE}, InvalidRequest, "makes no images"),
    ],
)
def test_what_is_refused(engine, celery, zoo, options, error, message):
    with pytest.raises(error, match=message):
        submit_directions(engine, celery, **{"generator": GAN, **FEW, **options})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"axis": 3}, NotFound, "axes 0 to 2, not 3"),
        ({"low": 1.0, "high": 1.0}, InvalidRequest, "write it like -2..2"),
        ({"high": 11.0}, InvalidRequest, "within 10"),
        ({"steps": 1}, InvalidRequest, "2 to 33 steps"),
        ({"seed": -1}, InvalidRequest, "a seed lies"),
    ],
)
def test_walks_that_are_refused(engine, found, options, error, message):
    with engine.connect() as connection, pytest.raises(error, match=message):
        walk_along(connection, found, **options)
