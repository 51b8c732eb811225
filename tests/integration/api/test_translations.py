"""Translations over HTTP: what was made, its pictures, latents and recipe."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from service.database import schema
from service.queries import names
from tests.integration.api import zoo

RECIPE = {"version": 1, "seed": 3}


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def made(engine, correlations):
    """An inversion of two images and an edit of it."""
    with engine.begin() as conn:
        keys = {
            "generator_id": names.model_row(conn, zoo.GAN).id,
            "probe_set_id": names.probe_row(conn, "faces").id,
            "pairs": 5,
            "code_version": "1",
            "recipe": RECIPE,
        }
        inversion = zoo.insert(conn, schema.translations, kind="inversion", images=2, **keys)
        edit = zoo.insert(conn, schema.translations, kind="edit", parent_id=inversion, images=1, **keys)
        for position, (translation, metrics) in enumerate(
            [(inversion, {"psnr": 20.5, "ssim": 0.75}), (inversion, {}), (edit, {})]
        ):
            conn.execute(
                schema.translation_images.insert().values(
                    translation_id=translation,
                    position=position % 2,
                    reference={"probe": "faces", "position": 7},
                    target=png("white"),
                    picture=png("red"),
                    space="z",
                    latent=np.arange(4, dtype="<f4").tobytes(),
                    shape=[4],
                    start=1,
                    metrics={"correlation": 0.5, **metrics},
                    losses=[1.0, 0.5],
                )
            )
    return inversion, edit


def test_listed_newest_first_by_kind_and_generator(http, made):
    inversion, edit = made

    def ids(**params):
        return [one["id"] for one in http.get("/v1/translations", params=params).json()["items"]]

    assert ids() == [edit, inversion]
    assert ids(kind="inversion") == [inversion]
    assert ids(generator=zoo.GAN, limit=1) == [edit]
    assert ids(generator=zoo.NET) == []
    page = http.get("/v1/translations", params={"limit": 1}).json()
    assert ids(limit=1, cursor=page["next_cursor"]) == [inversion]
    assert http.get("/v1/translations", params={"generator": "nobody"}).status_code == 404


def test_one_with_its_images(http, made):
    inversion, edit = made
    found = http.get(f"/v1/translations/{inversion}").json()
    assert (found["generator"], found["probe_set"], found["images"], found["recipe"]) == (zoo.GAN, "faces", 2, RECIPE)
    first, second = found["items"]
    assert first["reference"] == {"probe": "faces", "position": 7, "digest": None, "translation": None}
    assert (first["correlation"], first["psnr"], first["ssim"], first["lpips"]) == (0.5, 20.5, 0.75, None)
    assert (second["psnr"], second["losses"]) == (None, [1.0, 0.5])
    assert http.get(f"/v1/translations/{edit}").json()["parent"] == inversion


def test_pictures_latents_and_the_recipe_as_files(http, made):
    inversion, _ = made
    for side, colour in (("picture", (255, 0, 0)), ("target", (255, 255, 255))):
        answer = http.get(f"/v1/translations/{inversion}/images/1", params={"side": side, "size": 16, "format": "png"})
        image = Image.open(io.BytesIO(answer.content))
        assert (image.size, image.getpixel((8, 8))) == ((16, 16), colour)
    known = {"if-none-match": answer.headers["etag"]}
    again = http.get(answer.request.url, headers=known)
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
    latents = np.load(io.BytesIO(http.get(f"/v1/translations/{inversion}/latents").content), allow_pickle=False)
    assert latents.tolist() == [[0, 1, 2, 3]] * 2
    recipe = http.get(f"/v1/translations/{inversion}/recipe")
    assert json.loads(recipe.content) == RECIPE
    assert "attachment" in recipe.headers["content-disposition"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("999", "no translation 999"),
        ("999/images/0", "no translation 999"),
        ("999/latents", "no translation 999"),
        ("{}/images/2", "has images 0 to 1, not 2"),
    ],
)
def test_what_is_not_there(http, made, path, message):
    answer = http.get("/v1/translations/" + path.format(made[0]))
    assert answer.status_code == 404
    assert message in answer.json()["error"]["message"]


def test_removed_and_its_edit_stays(http, made):
    inversion, edit = made
    assert http.delete(f"/v1/translations/{inversion}").status_code == 204
    assert http.delete(f"/v1/translations/{inversion}").status_code == 404
    assert http.get(f"/v1/translations/{edit}").json()["parent"] is None
