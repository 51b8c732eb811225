"""Pictures on real networks: the job that makes maps and images, and what HTTP shows of them."""

from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from fastapi.testclient import TestClient
from PIL import Image

from service import jobs
from service.api import making
from service.api.app import create_app
from service.database import schema
from service.pictures.cache import Cache, maps_key
from service.pictures.colours import TABLE
from service.pictures.reading import read_image
from service.queries.probes import add_generator_probe, add_image_probe
from service.submit import submit_mine
from service.submit_pictures import submit_pictures
from service.submit_register import submit_register
from service.uploads import image_path
from tests.integration.mine.picturing import at_work, pixels, refused, row, unfinished
from workers import tasks
from workers.probes import GeneratorProbes
from workers.zoo import registry

GAN, AGE, BRAIN = "dcgan-faces", "age-net", "brain"
IMAGES, PHOTOS = 24, 6
LIVE = 5  # a unit of AGE
LAYER = "main.8"  # of the GAN: 16x16
RESPONSES = np.random.default_rng(0).normal(size=(PHOTOS, 3, 4, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def settings(settings, tmp_path_factory):
    return settings.model_copy(update={"weights_dirs": (tmp_path_factory.mktemp("weights"),)})


@pytest.fixture(scope="module")
def mined(engine, settings, worker, celery):
    """Two networks on a generator's faces, a recording on photographs."""
    for name in (GAN, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    photos = []
    settings.images_dir.mkdir(parents=True, exist_ok=True)
    for number in range(PHOTOS):
        photo = Image.effect_noise((60, 48), 20 + 10 * number).convert("RGB")
        digest = f"{number:064x}"
        image_path(settings, digest).parent.mkdir(parents=True, exist_ok=True)
        photo.save(image_path(settings, digest), "PNG")
        photos.append((f"{number}.png", digest))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=IMAGES, seed=0)
        add_image_probe(connection, settings, "photos", photos, size=32)
    np.save(settings.weights_dirs[0] / "brain.npy", RESPONSES)
    source = "recording:brain.npy?probe=photos"
    worker(submit_register(engine, celery, settings, name=BRAIN, source=source), settings)
    # What pictures are like where mining left no coarse maps; test_coarse_pictures has them.
    bare = settings.model_copy(update={"stored_maps_bytes": 0})
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, AGE], sketch_only=True), bare)
    worker(submit_mine(engine, celery, settings, probe="photos", models=[BRAIN], sketch_only=True), bare)


@pytest.fixture(scope="module")
def http(mined, settings):
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def make(engine, settings, worker, celery, mined):
    """Runs the job that makes pictures."""

    def run(model, layers, positions, probe="faces"):
        wanted = [(row(engine, schema.models, model), layers)]
        probe_set = row(engine, schema.probe_sets, probe)
        job = submit_pictures(engine, celery, wanted=wanted, probe_set=probe_set, positions=positions)
        return worker(job, settings)

    return run


@pytest.fixture
def maps_path(engine, settings, mined):
    def path(model, layer, position, probe="faces"):
        owner, probe_set = row(engine, schema.models, model), row(engine, schema.probe_sets, probe)
        key = maps_key(probe_set.digest, owner.source, owner.weights_digest, layer)
        return Cache(settings).maps_path(key, position)

    return path


@pytest.fixture
def unmade(engine, settings, mined):
    """The address of an image that is not kept."""
    digest = row(engine, schema.probe_sets, "faces").digest
    Cache(settings).image_path(digest, 21).unlink(missing_ok=True)
    return "/v1/probes/faces/images/21"


@pytest.fixture(scope="module")
def own():
    """The generator's own maps of main.8, float32 [N, C, 16, 16], and images, in one plain pass without our hooks."""
    network = registry.load(f"demo:{GAN}")
    held = []
    hook = network.module.get_submodule(LAYER).register_forward_hook(lambda *call: held.append(call[2].clone()))
    with torch.inference_mode():
        latents = GeneratorProbes(network, 0, IMAGES).latents(range(IMAGES))
        images = network.images(network.module(*network.inputs(latents)))
    hook.remove()
    return held[0].numpy(), images.permute(0, 2, 3, 1).numpy()


def test_the_files_hold_the_networks_own_maps_and_images(settings, make, maps_path, own):
    job = make(GAN, [LAYER], [3, 17, 4])
    assert job.result == {"pictures": 3}
    maps, _ = own
    for position in (3, 4, 17):
        for channel in (0, 45, 127):
            found = Cache(settings).read_map(maps_path(GAN, LAYER, position), channel)
            expected = maps[position, channel].astype(float)
            assert found == pytest.approx(expected, abs=1e-3 * np.abs(expected).max() + 1e-6)
            assert expected.ravel()[found.argmax()] == pytest.approx(expected.max(), rel=1e-3)
    assert not maps_path(GAN, LAYER, 5).exists()
    again = make(GAN, [LAYER], [3, 4, 17])
    assert again.result == {"pictures": 0}


def test_one_job_makes_the_maps_of_several_models(engine, settings, worker, celery, mined, maps_path):
    with engine.connect() as connection:
        layers = sa.select(schema.layers.c.name).join(schema.models).where(schema.models.c.name == AGE)
        layer = connection.scalars(layers.order_by(schema.layers.c.position)).first()
    wanted = [(row(engine, schema.models, AGE), [layer]), (row(engine, schema.models, GAN), [LAYER, "main.5"])]
    probe_set = row(engine, schema.probe_sets, "faces")
    job = submit_pictures(engine, celery, wanted=wanted, probe_set=probe_set, positions=[12, 11])
    assert worker(job, settings).result == {"pictures": 2}
    assert job.parameters["models"] == [GAN, AGE]
    for model, name in ((AGE, layer), (GAN, LAYER), (GAN, "main.5")):
        assert maps_path(model, name, 11).is_file()
        assert maps_path(model, name, 12).is_file()


def test_images_are_the_generators_own(http, make, own):
    make(GAN, [], [9])
    found = pixels(http.get("/v1/probes/faces/images/9?format=png"))
    assert found.shape == (64, 64, 3)
    assert found.astype(int) == pytest.approx(own[1][9] * 255, abs=0.51)
    small = pixels(http.get("/v1/probes/faces/images/9?size=24", headers={"accept": "image/avif,image/webp,*/*"}))
    assert small.shape == (24, 24, 3)
    assert small.mean() == pytest.approx(found.mean(), abs=6)


def test_an_image_of_a_folder_needs_no_worker(http, settings):
    found = pixels(http.get("/v1/probes/photos/images/2", headers={"accept": "image/png"}))
    assert (found == read_image(image_path(settings, f"{2:064x}"), 32)).all()


def test_a_heat_map_shows_the_networks_values_on_the_units_scale(http, engine, make, own):
    make(GAN, [LAYER], [4])
    unit = http.get(f"/v1/models/{GAN}/units/{LAYER}:45").json()
    (statistics,) = unit["statistics"]
    shown = http.get(f"/v1/models/{GAN}/units/{LAYER}:45/heatmap?image=4&overlay=false&quantile=0&size=16&format=png")
    low, high = map(float, shown.headers["x-rosetta-scale"].split())
    high_values = min(statistics["maximum"], statistics["mean"] + 3 * statistics["std"])
    assert (low, high) == pytest.approx((statistics["mean"], high_values), rel=1e-4)
    assert shown.headers["x-rosetta-dead"] == "false"
    assert shown.headers["x-rosetta-contour"] == "none"
    values = own[0][4, 45]
    places = np.clip(255 * (values - low) / (high - low), 0, 255)
    found = pixels(shown).astype(int)
    nearest = np.abs(found[:, :, None] - TABLE.astype(int)).sum(-1).argmin(-1)
    assert (TABLE[nearest] == found).all()  # nothing but the table's colours
    assert nearest == pytest.approx(places, abs=1.1)
    assert nearest[np.unravel_index(values.argmax(), values.shape)] == nearest.max() > 200
    by_number = http.get(
        f"/v1/models/{GAN}/units/{unit['number']}/heatmap?image=4&overlay=false&quantile=0&size=16&format=png"
    )
    assert by_number.content == shown.content


def test_an_overlay_is_drawn_over_the_image_with_a_contour(http, make, own):
    make(GAN, [LAYER], [4])
    address = f"/v1/models/{GAN}/units/{LAYER}:45/heatmap?probe=faces&image=4&format=png"
    shown, bare = http.get(address), http.get(f"{address}&quantile=0")
    assert pixels(shown).shape == (64, 64, 3)
    different = (pixels(shown) != pixels(bare)).any(-1)
    assert 0.005 < different.mean() < 0.3
    assert float(shown.headers["x-rosetta-contour"]) <= own[0][4, 45].max()
    assert pixels(http.get(f"{address}&size=200")).shape == (200, 200, 3)


def test_what_the_caller_has_is_not_sent_again(http, make):
    make(GAN, [LAYER], [4])
    for address in (f"/v1/models/{GAN}/units/{LAYER}:45/heatmap?image=4", "/v1/probes/faces/images/4?size=32"):
        first = http.get(address)
        assert first.headers["cache-control"] == "private, no-cache"
        assert first.headers["vary"] == "Accept"
        etag = first.headers["etag"]
        again = http.get(address, headers={"if-none-match": f'"other", W/{etag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert http.get(address, headers={"if-none-match": '"other"'}).content == first.content
        assert http.get(f"{address}&format=png", headers={"if-none-match": etag}).status_code == 200
        version = first.headers["x-rosetta-version"]
        assert http.get(f"{address}&version={version}").headers["cache-control"] == (
            "private, max-age=31536000, immutable"
        )
        assert http.get(f"{address}&version=old").headers["cache-control"] == "private, no-cache"


def test_without_a_worker_the_mend_is_said_and_the_exemplars_share_one_job(http, engine, worker, settings):
    ranked = http.get(f"/v1/models/{AGE}/units/{LIVE}/exemplars").json()["items"]
    images = [exemplar["image"] for exemplar in ranked]
    assert len(set(images)) == len(images) > 3
    for image in images[:3]:
        answer = http.get(f"/v1/models/{AGE}/units/{LIVE}/heatmap?image={image}")
        assert refused(answer, 503) == (
            f"the map of {AGE} on image {image} of faces is not made yet, and no worker is at work: "
            "start one with `rosetta worker`"
        )
        assert answer.headers["retry-after"] == "30"
    (job,) = unfinished(engine)
    assert job.parameters["positions"] == sorted(images)
    worker(job, settings)
    for image in images:
        pixels(http.get(f"/v1/models/{AGE}/units/{LIVE}/heatmap?image={image}"))
    assert not unfinished(engine)


def test_a_request_waits_for_the_worker(http, settings, unmade, worker, maps_path, engine, monkeypatch):
    monkeypatch.setattr(making, "WAIT_S", 60)  # machines of tests are busy
    layer = http.get(f"/v1/models/{AGE}/units/{LIVE}").json()["layer"]
    maps_path(AGE, layer, 20).unlink(missing_ok=True)
    with at_work(settings, tasks.run_part):
        pixels(http.get(unmade))
        pixels(http.get(f"/v1/models/{AGE}/units/{LIVE}/heatmap?image=20"))


def test_a_request_waits_no_longer_than_that(http, settings, engine, unmade, monkeypatch):
    monkeypatch.setattr(making, "WAIT_S", 0.3)
    with at_work(settings):
        answer = http.get(unmade)
    assert "is still being made: ask again" in refused(answer, 503)
    assert answer.headers["retry-after"] == "2"
    (job,) = unfinished(engine)
    jobs.cancel(engine, job.id)


def test_what_cannot_be_made_says_why(http, settings, engine, unmade):
    def fail(job, part):
        claim = jobs.claim(engine, job, part, uuid4(), 60.0)
        jobs.fail(engine, claim, "invalid_request", "the weights are others")

    with at_work(settings, fail):
        assert "could not be made: the weights are others" in refused(http.get(unmade), 500)


def test_a_file_that_was_trimmed_is_made_again(http, make, settings, maps_path):
    make(GAN, [LAYER], [4])
    address = f"/v1/models/{GAN}/units/{LAYER}:45/heatmap?image=4"
    first = pixels(http.get(address))
    maps_path(GAN, LAYER, 4).unlink()
    make(GAN, [LAYER], [4])
    assert (pixels(http.get(address)) == first).all()


def test_the_job_keeps_the_limit_and_what_it_made(make, settings, engine, worker, celery, maps_path):
    make(GAN, [LAYER], [6])
    small = settings.model_copy(update={"pictures_bytes": 1})
    wanted, probe_set = [(row(engine, schema.models, GAN), [LAYER])], row(engine, schema.probe_sets, "faces")
    worker(submit_pictures(engine, celery, wanted=wanted, probe_set=probe_set, positions=[7]), small)
    assert not maps_path(GAN, LAYER, 6).exists()
    assert maps_path(GAN, LAYER, 7).exists()


def test_a_recording_is_shown_as_it_is(http, make):
    make(BRAIN, [http.get(f"/v1/models/{BRAIN}").json()["layers"][0]["name"]], range(PHOTOS), probe="photos")
    low = RESPONSES[:, 1].mean()
    high = min(RESPONSES[:, 1].max(), low + 3 * RESPONSES[:, 1].std())
    for image in range(PHOTOS):
        shown = pixels(
            http.get(f"/v1/models/{BRAIN}/units/1/heatmap?image={image}&overlay=false&quantile=0&format=png")
        )
        assert shown.shape == (32, 32, 3)
        place = np.clip(255 * (RESPONSES[image, 1, 0, 0] - low) / (high - low), 0, 255)
        assert np.abs(TABLE.astype(int) - shown[0, 0]).sum(1).argmin() == pytest.approx(place, abs=1.1)
        pixels(http.get(f"/v1/models/{BRAIN}/units/1/heatmap?image={image}"))


def test_a_dead_unit_is_flat_and_says_so(http, engine, make, mined):
    make(GAN, [LAYER], [4])
    unit = http.get(f"/v1/models/{GAN}/units/{LAYER}:9").json()["number"]
    owner, probe_set = row(engine, schema.models, GAN), row(engine, schema.probe_sets, "faces")
    columns = schema.unit_statistics.c
    with engine.begin() as connection:
        connection.execute(
            sa.update(schema.unit_statistics)
            .where(columns.probe_set_id == probe_set.id, columns.model_id == owner.id, columns.unit == unit)
            .values(mean=1.0, std=0.0, minimum=1.0, maximum=1.0, dead=True)
        )
    shown = http.get(f"/v1/models/{GAN}/units/{unit}/heatmap?image=4&overlay=false&quantile=0&format=png")
    assert shown.headers["x-rosetta-dead"] == "true"
    assert (pixels(shown) == TABLE[0]).all()


@pytest.mark.parametrize("by", ["maximum", "mean"])
def test_exemplars_are_those_of_the_view(http, engine, mined, by):
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT * FROM analytics.exemplars "
                "WHERE model = :model AND unit = :unit AND measure = :by ORDER BY rank"
            ),
            {"model": AGE, "unit": LIVE, "by": by},
        ).mappings()
        expected = [dict(each) for each in rows]
    assert len(expected) > 3
    assert http.get(f"/v1/models/{AGE}/units/{LIVE}/exemplars?by={by}").json()["items"] == expected
    named = http.get(f"/v1/models/{BRAIN}/units/0/exemplars?probe=photos&by={by}").json()["items"]
    assert {each["file"] for each in named} <= {f"{number}.png" for number in range(PHOTOS)}
    values = RESPONSES[:, 0].max((1, 2)) if by == "maximum" else RESPONSES[:, 0].mean((1, 2))
    assert [each["image"] for each in named] == list(np.argsort(-values)[: len(named)])


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        (f"/v1/models/{GAN}/units/3/heatmap?image={IMAGES}", 404, f"its {IMAGES} images are 0 to {IMAGES - 1}"),
        (f"/v1/models/{GAN}/units/999999/heatmap?image=0", 404, "has no unit 999999"),
        (f"/v1/models/{GAN}/units/3/heatmap?image=0&probe=photos", 404, "mine"),
        (f"/v1/models/{GAN}/units/3/heatmap?image=0&probe=face", 404, "did you mean faces?"),
        (f"/v1/models/{GAN}/units/3/heatmap", 422, "'image' is missing"),
        (f"/v1/models/{GAN}/units/3/heatmap?image=-1", 422, "greater than or equal to 0"),
        (f"/v1/models/{GAN}/units/3/heatmap?image=0&quantile=1", 422, "less than 1"),
        (f"/v1/models/{GAN}/units/3/heatmap?image=0&format=gif", 422, "'webp' or 'png'"),
        (f"/v1/models/{GAN}/units/3/heatmap?image=0&sise=9", 422, "did you mean size?"),
        (f"/v1/models/{GAN}/units/3/exemplars?by=median", 422, "'maximum' or 'mean'"),
        ("/v1/probes/faces/images/4000", 404, "has no image 4000"),
        ("/v1/probes/faces/images/99999999999", 422, "position"),
        ("/v1/probes/faces/images/1?size=100000", 422, "less than or equal to 2048"),
        ("/v1/probes/nobody/images/1", 404, "no probe set 'nobody'"),
    ],
)
def test_pictures_that_cannot_be(http, engine, path, status, reason):
    assert reason in refused(http.get(path), status)
    assert not unfinished(engine)


def test_a_file_of_a_folder_that_is_gone(http, settings):
    path = image_path(settings, f"{5:064x}")
    kept = path.read_bytes()
    path.unlink()
    try:
        message = refused(http.get("/v1/probes/photos/images/5"), 404)
    finally:
        path.write_bytes(kept)
    assert "the file of image '5.png' is no longer in the data directory" in message
    assert str(settings.data_dir) not in message
