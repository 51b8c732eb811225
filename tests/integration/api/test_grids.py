"""Grids over the zoo that was mined on paper, with maps and images that are there, and without a worker."""

import io

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from rosetta.results import ConceptMember
from service.database import schema
from service.pictures.cache import Cache, maps_key
from service.queries.grids import strongest
from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT

# Concept 1 is units 8, 3 and 5 of these; the exemplars of each, best first.
EXEMPLARS = {GAN: [4, 2, 9], NET: [2, 4, 7], CLIP: [4, 7, 2]}
UNITS = {GAN: 8, NET: 3, CLIP: 5}
TOGETHER = [4, 2, 7, 9]  # votes 1 + 1/2 + 1, 1/2 + 1 + 1/3, 1/3 + 1/2, 1/3
GRID = "/v1/concepts/1/grid?format=png"


@pytest.fixture(scope="module")
def exemplars(engine, http):
    with engine.begin() as conn:
        probe_set = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
        for model, images in EXEMPLARS.items():
            model_id = conn.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == model))
            lists = {
                "images_by_maximum": images,
                "maxima": [3, 2, 1],
                "images_by_mean": images[::-1],
                "means": [3, 2, 1],
            }
            row = {"probe_set_id": probe_set, "model_id": model_id, "unit": UNITS[model], **lists}
            conn.execute(schema.exemplars.insert().values(row))


@pytest.fixture(scope="module")
def maps(engine, settings, exemplars):
    """Maps of every layer, and images, on the first ten positions: as a worker would have left them."""
    rng, cache = np.random.default_rng(0), Cache(settings)
    with engine.connect() as conn:
        digest = conn.scalar(sa.select(schema.probe_sets.c.digest).where(schema.probe_sets.c.name == "faces"))
        layers = conn.execute(
            sa.select(schema.models, schema.layers.c.name.label("layer"), schema.layers.c.channels).join(schema.layers)
        ).all()
    for position in range(10):
        cache.write_image(cache.image_path(digest, position), rng.integers(0, 255, (64, 64, 3), np.uint8))
        for row in layers:
            key = maps_key(digest, row.source, row.weights_digest, row.layer)
            cache.write_maps(cache.maps_path(key, position), rng.normal(size=(row.channels, 8, 8)).astype(np.float32))


def pixels(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] in ("image/png", "image/webp")
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def refused(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["message"]


def cell_of(http, model, unit, image, size):
    return pixels(http.get(f"/v1/models/{model}/units/{unit}/heatmap?probe=faces&image={image}&size={size}&format=png"))


def test_without_exemplars_there_is_no_figure(http):
    assert refused(http.get("/v1/concepts/2/grid"), 404) == (
        "no exemplars are stored of the members of concept 2: `rosetta mine --probe faces` stores those of units that "
        "are not dead"
    )


def test_without_a_worker_one_job_waits_for_all_its_models(http, engine, exemplars):
    for path in (GRID, "/v1/concepts/1/grid?size=64&labels=false"):
        answer = http.get(path)
        assert refused(answer, 503) == (
            "the grid of 3 units on 4 images of faces is not made yet, and no worker is at work: start one with "
            "`rosetta worker`"
        )
    with engine.connect() as conn:
        (job,) = conn.execute(sa.select(schema.jobs.c.parameters).where(schema.jobs.c.kind == "pictures")).scalars()
    assert sorted(job["models"]) == sorted(UNITS)
    assert job["positions"] == sorted(TOGETHER)


def test_the_cells_are_the_heat_maps_of_the_units_on_the_same_images(http, maps):
    found = pixels(http.get(f"{GRID}&labels=false&size=40"))
    assert found.shape == (3 * 42 - 2, 4 * 42 - 2, 3)
    shown = {}
    for line in range(3):
        for column, image in enumerate(TOGETHER):
            cell = found[42 * line :, 42 * column :][:40, :40]
            of = [model for model, unit in UNITS.items() if (cell_of(http, model, unit, image, 40) == cell).all()]
            shown.setdefault(line, set()).update(of)
            assert len(of) == 1
    assert shown[0] == {GAN}  # whose the images are
    assert set.union(*shown.values()) == set(UNITS)


def test_the_figure_has_the_images_above_the_maps(http, maps):
    drawn = pixels(http.get(f"{GRID}&size=48"))
    image = pixels(http.get(f"/v1/probes/faces/images/{TOGETHER[0]}?size=48&format=png"))
    (top, left), *more = np.argwhere((drawn == image[0, 0]).all(-1))
    places = [(y, x) for y, x in [(top, left), *more] if (drawn[y : y + 48, x : x + 48] == image).all()]
    assert len(places) == 1
    (top, left), cell = places[0], cell_of(http, GAN, 8, TOGETHER[0], 48)
    below = drawn[top + 49 :, left : left + 48]
    assert any((below[row : row + 48] == cell).all() for row in range(len(below) - 48))


def test_fewer_images_rows_and_models(http, maps):
    assert pixels(http.get(f"{GRID}&labels=false&size=20&images=2")).shape == (3 * 22 - 2, 2 * 22 - 2, 3)
    assert pixels(http.get(f"{GRID}&labels=false&size=20&rows=1")).shape == (20, 4 * 22 - 2, 3)


def test_a_unit_and_its_best_match_in_every_model(http, maps, correlations):
    found = pixels(http.get(f"/v1/models/{GAN}/units/8/grid?format=png&labels=false&size=40"))
    best = {model: int(r[8].argmax()) for model, r in correlations.items()}
    order = [(GAN, 8), *sorted(best.items(), key=lambda pair: -correlations[pair[0]][8, pair[1]])]
    assert found.shape == (5 * 42 - 2, 3 * 42 - 2, 3)
    for line, (model, unit) in enumerate(order):
        for column, image in enumerate(EXEMPLARS[GAN]):
            assert (found[42 * line :, 42 * column :][:40, :40] == cell_of(http, model, unit, image, 40)).all()


def test_a_unit_by_its_mean_in_one_model(http, maps, correlations):
    address = f"/v1/models/{GAN}/units/main.8:0/grid?format=png&labels=false&size=40&in=EfficientNet&top=2&by=mean"
    found = pixels(http.get(address))
    assert found.shape == (3 * 42 - 2, 3 * 42 - 2, 3)
    second = int(np.argsort(-correlations[NET][8])[1])
    assert (found[84:124, :40] == cell_of(http, NET, second, EXEMPLARS[GAN][-1], 40)).all()


def test_any_units_on_the_images_of_the_first(http, maps):
    found = pixels(
        http.get(f"/v1/grid?unit={NET}/3&unit={AGE}/conv1/Conv:2&probe=faces&format=png&labels=false&size=40")
    )
    assert (found[42:, :40] == cell_of(http, AGE, 2, EXEMPLARS[NET][0], 40)).all()
    assert pixels(http.get(f"/v1/grid?unit={NET}/3&probe=faces&images=1")).shape[0] > 192


def test_what_the_caller_has_is_not_sent_again(http, maps):
    first = http.get(GRID)
    assert first.headers["cache-control"] == "private, no-cache"
    etag, version = first.headers["etag"], first.headers["x-rosetta-version"]
    again = http.get(GRID, headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get(f"{GRID}&size=64", headers={"if-none-match": etag}).status_code == 200
    assert http.get(f"{GRID}&version={version}").headers["cache-control"] == "private, max-age=31536000, immutable"
    assert http.get(f"{GRID}&version=old").headers["cache-control"] == "private, no-cache"
    webp = http.get("/v1/concepts/1/grid", headers={"accept": "image/webp,*/*"})
    assert webp.headers["content-type"] == "image/webp"
    assert webp.headers["x-rosetta-version"] == version
    assert len(webp.content) < len(first.content)


def test_new_numbers_are_a_new_figure(http, maps, engine):
    version = http.get(GRID).headers["x-rosetta-version"]
    changed = sa.update(schema.comparisons).values(chance_best_buddies=schema.comparisons.c.chance_best_buddies + 7)
    with engine.begin() as conn:
        conn.execute(changed)
    assert http.get(GRID).headers["x-rosetta-version"] != version


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/concepts/99/grid", 404, "no concept 99"),
        (f"{GRID}&images=0", 422, "images"),
        (f"{GRID}&images=33", 422, "images"),
        (f"{GRID}&size=8", 422, "size"),
        (f"{GRID}&sise=80", 422, "did you mean size?"),
        (f"/v1/models/{GAN}/units/{DEAD}/grid", 422, "dead"),
        (f"/v1/models/{GAN}/units/9/grid", 404, "no exemplars are stored of unit 9 of dcgan-faces"),
        (f"/v1/models/{GAN}/units/8/grid?in=resnet", 404, "resnet"),
        (f"/v1/models/{GAN}/units/8/grid?top=4", 422, "kept"),
        ("/v1/models/lonely/units/0/grid", 404, "lonely was not mined"),
        ("/v1/grid", 422, "unit"),
        ("/v1/grid?unit=nonsense", 422, "'nonsense' is not an address"),
        ("/v1/grid?" + "&".join([f"unit={NET}/3"] * 65), 422, "a grid has 1 to 64 units, not 65"),
    ],
)
def test_what_cannot_be_says_why(http, exemplars, path, status, message):
    assert message in refused(http.get(path), status)


def test_a_figure_too_large_says_what_fits(http, maps):
    address = f"/v1/grid?{'&'.join([f'unit={GAN}/8'] * 40)}&probe=faces&size="
    message = refused(http.get(f"{address}1024"), 422)
    assert message == (
        "a grid of 40 units on 3 images has cells of at most 570 pixels, not 1024: ask for fewer images or rows, or "
        "for size=570"
    )


def test_of_every_model_the_strongest_as_many_as_fit():
    members = [
        ConceptMember(m, "l", n, n, s)
        for m, n, s in [("a", 0, 0.9), ("a", 1, 0.8), ("a", 2, 0.7), ("b", 3, 0.5), ("c", 4, 0.6)]
    ]
    assert [member.unit for member in strongest(members, most=9)] == [0, 1, 2, 4, 3]
    assert [member.unit for member in strongest(members, most=4)] == [0, 1, 4, 3]
    assert [member.unit for member in strongest(members, most=2)] == [0, 4]
    assert [member.unit for member in strongest(members, most=9, per_model=1)] == [0, 4, 3]


def test_the_pages_lead_to_the_figures(http, exemplars):
    assert 'href="/v1/concepts/1/grid?format=png"' in http.get("/concepts/1").text
    assert f'href="/v1/models/{GAN}/units/8/grid?format=png&amp;probe=faces' in http.get(f"/units/{GAN}/8").text
    assert "/grid?" not in http.get("/concepts/2").text
    assert VIT in http.get(f"/units/{GAN}/8").text
