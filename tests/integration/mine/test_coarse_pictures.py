"""Pictures while no worker is at work, from what mining left."""

import html
import logging
import re

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from fastapi.testclient import TestClient

from service import jobs
from service.api import making
from service.api.app import create_app
from service.database import schema
from service.pictures.cache import Cache, maps_key
from service.pictures.colours import TABLE
from service.pictures.overlay import resize_map
from service.pictures.thumbnails import Thumbnails
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_register import submit_register
from tests.integration.mine.picturing import at_work, pixels, refused, row, unfinished
from tests.unit.workers.mining.test_thumbnails import shrunk
from workers import tasks
from workers.probes import GeneratorProbes
from workers.zoo import registry

GAN, AGE, FINE = "dcgan-faces", "age-net", "main.11"  # a layer of 32 x 32
IMAGES = 12
BARE = "overlay=false&quantile=0&size=16&format=png"


@pytest.fixture(scope="module")
def mined(engine, settings, worker, celery):
    for name in (GAN, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=IMAGES, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, AGE], sketch_only=True))


@pytest.fixture(scope="module")
def http(mined, settings):
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture(scope="module")
def own():
    """The generator's own maps of that layer, float32 [N, C, 32, 32], and images [N, H, W, 3] in [0, 1]."""
    network = registry.load(f"demo:{GAN}")
    held = []
    hook = network.module.get_submodule(FINE).register_forward_hook(lambda *call: held.append(call[2].clone()))
    with torch.inference_mode():
        latents = GeneratorProbes(network, 0, IMAGES).latents(range(IMAGES))
        images = network.images(network.module(*network.inputs(latents)))
    hook.remove()
    return held[0], images.permute(0, 2, 3, 1).numpy()


def maps_path(engine, settings, model, layer, position):
    owner, probe_set = row(engine, schema.models, model), row(engine, schema.probe_sets, "faces")
    return Cache(settings).maps_path(maps_key(probe_set.digest, owner.source, owner.weights_digest, layer), position)


def places(response):
    """Which colour of the table each pixel is."""
    found = pixels(response).astype(int)
    nearest = np.abs(found[:, :, None] - TABLE.astype(int)).sum(-1).argmin(-1)
    assert (TABLE[nearest] == found).all()
    return nearest


@pytest.mark.parametrize("image", [0, 7, IMAGES - 1])
def test_a_heat_map_is_of_the_map_that_mining_left(http, engine, own, image):
    shown = http.get(f"/v1/models/{GAN}/units/{FINE}:5/heatmap?image={image}&{BARE}")
    assert shown.headers["x-rosetta-resolution"] == "stored 14x14"
    low, high = map(float, shown.headers["x-rosetta-scale"].split())
    values = resize_map(shrunk(own[0][image : image + 1, 5:6], (14, 14))[0, 0], 16, 16)
    expected = np.clip(255 * (values - low) / (high - low), 0, 255)
    step = 255 * np.ptp(values) / 255 / (high - low)
    assert places(shown) == pytest.approx(expected, abs=1.1 + float(step))
    assert not unfinished(engine)  # nothing is asked of workers that are not there


def test_an_image_is_the_small_one(http, own):
    shown = http.get("/v1/probes/faces/images/3?format=png")
    assert shown.headers["x-rosetta-resolution"] == "stored 64x64"
    found = pixels(shown).astype(int)
    assert found.shape == (64, 64, 3)
    assert np.abs(found - own[1][3] * 255).mean() < 4  # lossy
    overlay = http.get(f"/v1/models/{GAN}/units/{FINE}:5/heatmap?image=3")
    assert pixels(overlay).shape == (64, 64, 3)


def test_it_is_never_kept_for_ever(http):
    for address in (f"/v1/models/{AGE}/units/5/heatmap?image=2", "/v1/probes/faces/images/2?size=32"):
        first = http.get(address)
        version = first.headers["x-rosetta-version"]
        again = http.get(f"{address}&version={version}")
        assert first.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"
        etag = first.headers["etag"]
        known = http.get(f"{address}&version={version}", headers={"if-none-match": etag})
        assert (known.status_code, known.headers["cache-control"]) == (304, "private, no-cache")


def test_a_worker_makes_the_whole_one_and_that_stays(http, settings, monkeypatch):
    monkeypatch.setattr(making, "WAIT_S", 60)  # machines of tests are busy
    address = f"/v1/models/{GAN}/units/{FINE}:5/heatmap?image=4"
    coarse = http.get(address)
    version = coarse.headers["x-rosetta-version"]
    with at_work(settings, tasks.run_part):
        whole = http.get(f"{address}&version={version}", headers={"if-none-match": coarse.headers["etag"]})
    assert whole.status_code == 200
    assert whole.headers["x-rosetta-resolution"] == "32x32"
    assert whole.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert whole.headers["x-rosetta-version"] == version
    assert whole.headers["etag"] != coarse.headers["etag"]
    assert whole.content != coarse.content
    later = http.get(address)  # the worker has gone
    assert (later.content, later.headers["etag"]) == (whole.content, whole.headers["etag"])


def test_it_stands_in_when_a_worker_takes_too_long(http, settings, engine, monkeypatch):
    monkeypatch.setattr(making, "WAIT_S", 0.3)
    with at_work(settings):
        shown = http.get(f"/v1/models/{AGE}/units/5/heatmap?image=1")
    assert shown.headers["x-rosetta-resolution"].startswith("stored ")
    (job,) = unfinished(engine)
    jobs.cancel(engine, job.id)


def test_a_grid_is_drawn_of_them(http):
    shown = http.get(f"/v1/grid?unit={GAN}/3&unit={AGE}/5&images=3&size=48")
    assert shown.headers["x-rosetta-resolution"] == "stored"
    assert shown.headers["cache-control"] == "private, no-cache"
    assert pixels(shown).shape[0] > 3 * 48


def addresses(page):
    """Of the pictures on a page."""
    return [html.unescape(found) for found in re.findall(r'src="(/v1/[^"]+)"', page.text)]


def test_all_pictures_of_a_page_are_one_jobs_work(http, engine, settings, worker, monkeypatch):
    monkeypatch.setattr(making, "WAIT_S", 0.1)
    page = f"/units/{GAN}/600?probe=faces"
    before = http.get(page)
    assert "These pictures are coarse" in before.text
    assert not unfinished(engine)
    with at_work(settings):
        shown = http.get(page)
        assert "no worker is running" not in shown.text.lower()
        (job,) = unfinished(engine)
        wanted = addresses(shown)
        assert len(wanted) == 2 * 8  # the images, and the unit on them
        assert all("&version=" in address for address in wanted)
        for address in wanted[8::3]:  # they wait for that job
            assert http.get(address).headers["x-rosetta-resolution"].startswith("stored ")
        http.get(page)
        assert [one.id for one in unfinished(engine)] == [job.id]
    with engine.connect() as connection:
        worker(jobs.get(connection, job.id))
    for address in wanted:
        picture = http.get(address)
        assert picture.status_code == 200, (address, picture.text)
        assert "stored" not in picture.headers["x-rosetta-resolution"]
        assert "immutable" in picture.headers["cache-control"]
    assert "These pictures" not in http.get(page).text
    assert not unfinished(engine)


def test_what_does_not_fit_is_not_stored_and_the_log_says_so(engine, settings, worker, celery, mined, caplog):
    folder = Thumbnails(settings)
    sizes = {model: sum(layers.values()) for model, layers in stored_bytes(engine, settings).items()}
    with engine.begin() as connection:
        add_generator_probe(connection, "others", GAN, count=IMAGES, seed=1)
    limit = max(sizes.values()) + 200_000
    assert limit < sum(sizes.values())
    tight = settings.model_copy(update={"stored_maps_bytes": limit})
    with caplog.at_level(logging.WARNING):
        worker(submit_mine(engine, celery, tight, probe="others", models=[GAN, AGE], sketch_only=True), tight)
    (line,) = [record.getMessage() for record in caplog.records if "coarse maps" in record.getMessage()]
    assert "ROSETTA_STORED_MAPS_BYTES" in line
    there = stored_bytes(engine, settings, "others")
    assert sum(bool(layers) for layers in there.values()) == 1
    assert sum(path.stat().st_size for path in folder.folder.rglob("*") if path.is_file()) <= limit
    # What was mined before went, the least recently used first.
    assert sum(len(layers) for layers in stored_bytes(engine, settings).values()) < 8


def test_a_full_disk_is_no_reason_to_fail(engine, settings, worker, celery, mined, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with engine.begin() as connection:
        add_generator_probe(connection, "more", GAN, count=IMAGES, seed=2)
    monkeypatch.setattr("os.pwrite", full)
    with caplog.at_level(logging.WARNING):
        worker(submit_mine(engine, celery, settings, probe="more", models=[AGE], sketch_only=True))
    monkeypatch.undo()
    assert "No space left on device" in caplog.text
    assert not list(settings.thumbnails_dir.rglob("*.part"))
    assert not any(stored_bytes(engine, settings, "more").values())


def test_where_nothing_is_left_the_mend_is_said(http, settings):
    assert "start one with `rosetta worker`" in refused(
        http.get(f"/v1/models/{AGE}/units/5/heatmap?probe=more&image=0"), 503
    )


def stored_bytes(engine, settings, probe="faces"):
    """Bytes of each layer's file, by model."""
    folder, probe_set = Thumbnails(settings), row(engine, schema.probe_sets, probe)
    found = {}
    with engine.connect() as connection:
        layers = sa.select(schema.models, schema.layers.c.name.label("layer")).join(schema.layers)
        for one in connection.execute(layers.where(schema.models.c.name.in_((GAN, AGE)))):
            path = folder.maps_path(maps_key(probe_set.digest, one.source, one.weights_digest, one.layer))
            sizes = found.setdefault(one.name, {})
            if path.is_file():
                sizes[one.layer] = path.stat().st_size
    return found


def test_a_page_says_that_there_are_no_pictures(http):
    shown = http.get(f"/units/{AGE}/5?probe=more")
    assert "No worker is running: start one with <code>rosetta worker</code>" in shown.text
    assert "These pictures" not in shown.text
