"""The pages of translations: forms become jobs, jobs become pages, and what is wrong is said beside the form."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from service import jobs
from service.database import schema
from tests.integration.api import steering, zoo

EYES = [zoo.NET, zoo.CLIP]


@pytest.fixture(autouse=True)
def nothing_stays(engine, http):
    yield
    steering.forget(engine)


@pytest.fixture
def inversion(engine, settings, http):
    return steering.invert(engine, settings, (7, 3))


def invert(http, files=None, **fields):
    return http.post(
        "/translations", data={"generator": zoo.GAN, "model": EYES, **fields}, files=files, follow_redirects=False
    )


def edit(http, translation, files=None, **fields):
    return http.post(
        f"/translations/{translation}/edits", data={"position": "0", **fields}, files=files, follow_redirects=False
    )


def recipe_of(engine, answer):
    """The recipe of the job that a form led to."""
    assert answer.status_code == 303, answer.text
    job = int(re.fullmatch(r"/translations/jobs/(\d+)", answer.headers["location"])[1])
    parts = schema.job_parts.c
    with engine.connect() as conn:
        return conn.scalar(sa.select(parts.payload).where(parts.job_id == job))["recipe"]


def names(images):
    return [(image["probe"], image["position"]) for image in images]


def test_a_form_inverts_images_of_a_probe_set_with_its_options(http, engine):
    asked = {"from": "probe", "probe": "faces", "numbers": "7, 0-2", "steps": "40", "pixel": "0.5", "least": "0.2"}
    recipe = recipe_of(engine, invert(http, **asked, seed="3", q="0.01"))
    assert names(recipe["images"]) == [("faces", 7), ("faces", 0), ("faces", 1), ("faces", 2)]
    assert (recipe["optimiser"]["steps"], recipe["optimiser"]["pixel"], recipe["seed"]) == (40, 0.5, 3)
    assert {model["name"] for model in recipe["models"]} == set(EYES)
    assert min(pair["weight"] for pair in recipe["pairs"]) >= 0.2**2  # r squared


def test_a_file_is_inverted(http, engine, picture):
    recipe = recipe_of(engine, invert(http, {"image": ("me.png", picture((1, 2, 3)))}, **{"from": "upload"}))
    digest = recipe["images"][0]["digest"]
    assert http.get(f"/v1/images/{digest}").status_code == 200


def test_a_fresh_sample_is_of_a_probe_set_that_nothing_was_mined_on(http, engine):
    first, second = (recipe_of(engine, invert(http, **{"from": "sample"}))["images"] for _ in range(2))
    assert first[0]["probe"] == second[0]["probe"] == f"{zoo.GAN}-samples"
    assert recipe_of(engine, invert(http, **{"from": "sample"}))["probe_set"] == "faces"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"from": "probe", "probe": "faces", "numbers": "seven"}, "&#39;seven&#39; names no image"),
        ({"from": "probe", "probe": "faces", "numbers": "5-2"}, "5-2 is not 1 to 256 images"),
        ({"from": "probe", "probe": "faces", "numbers": "100"}, "its 100 images are 0 to 99"),
        ({"from": "probe", "probe": "nope", "numbers": "1"}, "no probe set &#39;nope&#39;"),
        ({"from": "upload"}, "no image was chosen"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "steps": "many"}, "steps is a number, not &#39;many&#39;"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "steps": "1.5"}, "steps is a whole number"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "steps": "0"}, "steps lies between 1 and"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "pixel": "nan"}, "pixel is a number"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "least": "0.99"}, "share no pair of units so chosen"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "space": "w"}, "only generators with styles"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "space": "q"}, "not in &#39;q&#39;"),
        ({"from": "probe", "probe": "faces", "numbers": "1", "class_index": "3"}, "has no classes"),
    ],
)
def test_what_is_wrong_is_said_with_the_form_as_it_was(http, engine, fields, message):
    answer = invert(http, **fields)
    assert answer.status_code in {404, 422}
    assert message in re.search(r'role="alert">(.*?)</p>', answer.text)[1]
    for name in {"numbers", "steps"} & fields.keys():
        assert f'name="{name}"' in answer.text
        assert f'value="{fields[name]}"' in answer.text
    with engine.connect() as conn:
        assert not conn.scalar(sa.select(sa.func.count()).where(schema.jobs.c.kind == "invert"))


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"dx": "8"}, [{"kind": "shift", "dx": 8, "dy": 0}]),
        ({"factor": "1.25"}, [{"kind": "zoom", "factor": 1.25, "centre": None}]),
        (
            {"x": "4", "y": "5", "w": "6", "h": "7", "to_x": "20", "to_y": "30"},
            [{"kind": "copy-paste", "box": [4, 5, 6, 7], "to": [20, 30], "image": None}],
        ),
        ({"align": "faces 3", "strength": "0.5"}, [{"kind": "align", "strength": 0.5}]),
        ({"dx": "1", "dy": "-2", "factor": "2"}, [{"kind": "shift", "dx": 1, "dy": -2}, {"kind": "zoom", "factor": 2}]),
    ],
)
def test_a_form_edits_one_image_or_all(http, engine, inversion, fields, wanted):
    recipe = recipe_of(engine, edit(http, inversion, position="1", **fields))
    assert (recipe["kind"], recipe["parent"]) == ("edit", inversion)
    assert [(image["translation"], image["position"]) for image in recipe["images"]] == [(inversion, 1)]
    for edited, part in zip(recipe["edits"], wanted, strict=True):
        assert {name: edited[name] for name in part} == part
    assert len(recipe_of(engine, edit(http, inversion, all="true", **fields))["images"]) == 2


def test_a_unit_of_the_palette_or_a_concept_is_changed_in_a_box(http, engine, inversion):
    page = http.get(f"/translations/{inversion}").text
    unit = re.search(r'name="unit" value="([^"]+)"', page)[1]
    box = {"x": "4", "y": "5", "w": "6", "h": "7"}
    recipe = recipe_of(engine, edit(http, inversion, unit=unit, action="raise", amount="3", **box))
    (raised,) = recipe["edits"]
    assert (raised["unit"], raised["action"], raised["amount"], raised["box"]) == (unit, "raise", 3, [4, 5, 6, 7])
    concept = re.search(r'<option value="(concept \d+)">', page)[1]
    (muted,) = recipe_of(engine, edit(http, inversion, unit=unit, other=concept))["edits"]
    assert (f"concept {muted['concept']}", muted["action"], muted["unit"]) == (concept, "remove", None)


def test_an_image_is_sent_to_align_to(http, engine, inversion, picture):
    file = {"image": ("me.png", picture((9, 9, 9)))}
    (aligned,) = recipe_of(engine, edit(http, inversion, file))["edits"]
    sent = http.post("/translations/images", files=file)
    assert (sent.status_code, sent.json()["image"]) == (201, aligned["image"]["digest"])
    refused = http.post("/translations/images", files={"image": ("x", b"<svg/>")})
    assert refused.status_code == 422
    assert "no format that Pillow reads" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "nothing is asked for"),
        ({"dx": "64"}, "a shift stays inside the frame, 64 x 64 pixels"),
        ({"factor": "-1"}, "factor lies above 0"),
        ({"dx": "left"}, "dx is a number, not &#39;left&#39;"),
        ({"x": "1", "y": "1", "to_x": "3", "to_y": "4"}, "a box is four numbers"),
        ({"x": "1", "y": "1", "w": "4", "h": "4", "to_x": "3"}, "a copy needs a box"),
        ({"x": "60", "y": "1", "w": "8", "h": "4", "to_x": "3", "to_y": "1"}, "a box lies inside the frame"),
        ({"other": f"{zoo.GAN}/{zoo.DEAD}"}, "none of the"),
        ({"other": "concept 999"}, "no concept 999"),
        ({"other": "teeth"}, "is not an address"),
        ({"align": "faces"}, "such as &#39;faces 7&#39;"),
        ({"align": "faces 100"}, "its 100 images are 0 to 99"),
        ({"dx": "1", "position": "2"}, "has images 0 to 1"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_with_the_fields_as_they_were(http, inversion, fields, message):
    answer = edit(http, inversion, **fields)
    assert answer.status_code in {404, 422}
    assert message in re.search(r'role="alert"[^>]*>(.*?)</p>', answer.text)[1]
    if "dx" in fields and "position" not in fields:
        assert f'name="dx" type="number" step="any" min="-63" max="63" value="{fields["dx"]}"' in answer.text


def test_a_page_has_its_images_history_and_files(http, engine, settings, inversion):
    edit(http, inversion, dx="8", position="1")
    moved = steering.play(engine, settings)
    edit(http, moved, factor="1.5")
    larger = steering.play(engine, settings)
    edit(http, inversion, dx="-8")
    other = steering.play(engine, settings)
    page = http.get(f"/translations/{moved}").text
    history = re.findall(r'<li class="d(\d)"><a href="/translations/(\d+)"', page)
    assert history == [("0", f"{inversion}"), ("1", f"{moved}"), ("2", f"{larger}"), ("1", f"{other}")]
    assert "<h1>Shift by (8, 0)</h1>" in page
    assert f'rel="prev" data-parent href="/translations/{inversion}"' in page
    assert f'rel="next" href="/translations/{larger}" title="zoom 1.5"' in page
    assert "shift by (\N{MINUS SIGN}8, 0)" in page
    first = http.get(f"/translations/{inversion}", params={"image": 1}).text
    assert "21.5 dB" in first
    assert "target: faces 3" in first
    for address in re.findall(rf'"(/v1/translations/{inversion}/[^"]+)"', first):
        assert http.get(address.replace("&amp;", "&")).status_code == 200, address
    listed = http.get("/translations").text
    assert listed.count('class="whole"') == 4
    assert "2 images" in listed


def test_removed_and_what_was_made_of_it_stays(http, engine, settings, inversion):
    edit(http, inversion, dx="8")
    moved = steering.play(engine, settings)
    gone = http.post(f"/translations/{inversion}/remove", follow_redirects=False)
    assert (gone.status_code, gone.headers["location"]) == (303, "/translations")
    page = http.get(f"/translations/{moved}")
    assert page.status_code == 200
    assert "data-parent" not in page.text.replace("[data-parent]", "")
    assert http.get(f"/translations/{inversion}").status_code == 404


def test_a_job_is_watched_to_its_translation(http, engine, settings, inversion):
    path = edit(http, inversion, dx="8").headers["location"]
    assert "No worker is running" in http.get(path).text
    taken = steering.claim(engine, steering.waiting(engine))
    steering.show(engine, settings, taken, 20)
    page = http.get(path).text
    assert f'src="/v1/jobs/{taken.job_id}/preview?step=20"' in page
    assert http.get(f"/v1/jobs/{taken.job_id}/preview?step=20").status_code == 200
    made = steering.finish(engine, settings, taken)
    done = http.get(path, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, f"/translations/{made}")
    http.post(f"/translations/{made}/remove")
    assert f"no translation {made}" in http.get(path).text


def test_a_job_that_failed_says_why_and_leads_back(http, engine, inversion):
    path = edit(http, inversion, dx="8").headers["location"]
    taken = steering.claim(engine, steering.waiting(engine))
    jobs.fail(engine, taken, "invalid_request", "image 0: the losses of every start were not finite")
    page = http.get(path).text
    assert "the losses of every start were not finite" in page
    assert f'href="/translations/{inversion}"' in page


def test_the_best_until_a_failure_is_led_to(http, engine, settings, inversion):
    path = edit(http, inversion, dx="8").headers["location"]
    taken = steering.claim(engine, steering.waiting(engine))
    with engine.begin() as conn:
        kept = zoo.insert(conn, schema.translations, **steering.values_of(conn, taken))
    jobs.fail(engine, taken, "invalid_request", "the losses of every start were not finite")
    assert f'<a href="/translations/{kept}">The best until then</a>' in http.get(path).text


def test_a_generator_that_shares_nothing_says_which_mine_would_help(http, engine):
    with engine.begin() as conn:
        zoo.add_model(conn, "new-gan", [("a", 2)], family="gan", generator=True)
    try:
        page = http.get("/translations", params={"generator": "new-gan"}).text
        assert "new-gan shares no units with a model" in page
        assert "rosetta mine --probe faces --models new-gan,MODEL --wait" in page
        assert 'name="numbers"' not in page
        assert 'name="numbers"' in http.get("/translations").text  # the one that can comes first
    finally:
        with engine.begin() as conn:
            conn.execute(sa.delete(schema.models).where(schema.models.c.name == "new-gan"))


def test_jobs_of_other_kinds_and_other_sites(http, inversion):
    assert http.get("/translations/jobs/99999").status_code == 404
    for path in (
        "/translations",
        "/translations/images",
        f"/translations/{inversion}/edits",
        f"/translations/{inversion}/remove",
    ):
        assert http.post(path, headers={"sec-fetch-site": "cross-site"}).status_code == 401
    assert http.get(f"/translations/{inversion}?image=2").status_code == 404
    assert "no translation 12345" in http.get("/translations/12345").text
