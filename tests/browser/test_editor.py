"""People who steer: an image is inverted and watched, dragged, made, undone, compared and taken home."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Locator, Page, expect

from service import jobs
from service.settings import Settings
from service.web import edit_forms
from tests.browser.conftest import Visit
from tests.browser.test_image_search import DROP, png
from tests.integration.api import steering
from tests.integration.api.zoo import GAN

SIDE = 64  # pixels of the generator's images


@pytest.fixture(autouse=True)
def nothing_stays(engine: sa.Engine, service_url: str) -> Iterator[None]:
    yield
    steering.forget(engine)


@pytest.fixture
def inversion(engine: sa.Engine, settings: Settings, service_url: str) -> int:
    return steering.invert(engine, settings)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From a place to another, in pixels of the image."""
    stage = page.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box
    scale = box["width"] / SIDE

    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x * scale, box["y"] + y * scale

    page.mouse.move(*at(*start))
    page.mouse.down()
    page.mouse.move(*at(*end), steps=4)


def chips(page: Page) -> Locator:
    return page.locator(".queue li")


def make(page: Page) -> None:
    with page.expect_response("**/v1/edits"):
        page.get_by_role("button", name="Make it").click()


def wait_until_shown(images: Locator) -> None:
    for image in images.all():
        image.scroll_into_view_if_needed()
        expect(image).not_to_have_js_property("naturalWidth", 0)


def test_inverted_watched_dragged_made_compared_and_undone(
    visit: Visit, engine: sa.Engine, settings: Settings, tmp_path: Path
) -> None:
    page = visit.page
    page.goto("/translations")
    page.get_by_label("Numbers of images").fill("7")
    page.get_by_label("Numbers of images").blur()
    expect(page.get_by_role("radio", name="Of a probe set")).to_be_checked()
    expect(page.get_by_role("img", name="image 7 of faces")).to_be_visible()
    visit.look("form")
    page.get_by_role("button", name="Invert").click()
    page.wait_for_url("**/translations/jobs/*")
    expect(page.get_by_role("alert").or_(page.get_by_text("No worker is running"))).to_be_visible()
    taken = steering.claim(engine, steering.waiting(engine))
    steering.show(engine, settings, taken, 20)
    preview = page.get_by_role("img", name="the best so far")
    expect(preview).to_have_js_property("naturalWidth", 160)
    steering.show(engine, settings, taken, 60, "green")
    expect(preview).to_have_attribute("src", re.compile("step=60$"))
    expect(page.get_by_text("step 60, loss 0.500")).to_be_visible()
    visit.look("watched")
    first = steering.finish(engine, settings, taken, "blue")
    page.wait_for_url(f"**/translations/{first}")
    expect(page.get_by_text("21.5 dB")).to_be_visible()
    wait_until_shown(page.locator(".sides img, .history img"))
    visit.look("inversion")

    drag(page, (20, 30), (28, 30))
    expect(page.locator("[data-said]")).to_have_text("shift by (8, 0)")
    expect(page.locator(".ghost > g")).to_have_attribute("transform", "translate(8 0)")
    page.mouse.up()
    expect(chips(page)).to_have_text([re.compile(r"^shift by \(8, 0\)")])
    visit.look("dragged")
    make(page)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    taken = steering.claim(engine, steering.waiting(engine))
    assert taken.payload["recipe"]["edits"] == [{"kind": "shift", "dx": 8, "dy": 0}]
    steering.show(engine, settings, taken, 40)
    expect(page.locator(".stage > .after")).to_have_attribute("href", re.compile(r"/preview\?step=40$"))
    visit.look("making")
    second = steering.finish(engine, settings, taken, "red")
    page.wait_for_url(f"**/translations/{second}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Shift by (8, 0)")

    slider = page.get_by_label(re.compile("^Compare"))
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert float(page.locator(".stage .before").get_attribute("width") or 0) == pytest.approx(0.3 * SIDE)
    visit.look("compared")
    with page.expect_download() as picture:
        page.get_by_role("link", name="PNG").click()
    assert picture.value.suggested_filename == f"translation-{second}-0.png"
    assert Path(picture.value.path()).read_bytes()[:4] == b"\x89PNG"
    with page.expect_download() as recipe:
        page.get_by_role("link", name="JSON").click()
    assert json.loads(Path(recipe.value.path()).read_text())["parent"] == first
    page.get_by_role("link", name="Undo").click()
    page.wait_for_url(f"**/translations/{first}")
    page.get_by_role("link", name="Redo").click()
    page.wait_for_url(f"**/translations/{second}")
    page.locator(".stage").press("Control+z")  # nothing is asked for: back to what it was
    page.wait_for_url(f"**/translations/{first}")
    assert visit.wrong == []


def test_edits_queue_up_are_joined_undone_and_taken_out(visit: Visit, engine: sa.Engine, inversion: int) -> None:
    page = visit.page
    page.goto(f"/translations/{inversion}")
    stage = page.locator(".stage")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "+"):
        stage.press(key)
    expect(chips(page)).to_have_text([re.compile(r"shift by \(2, 8\)"), re.compile(r"zoom 1\.05")])
    stage.hover()
    page.mouse.wheel(0, -240)
    expect(chips(page).nth(1)).to_contain_text("zoom 1.27")
    page.get_by_text("Draw a box", exact=True).click()
    drag(page, (8, 8), (24, 20))
    page.mouse.up()
    assert page.get_by_label("wide").input_value() == "16"
    drag(page, (16, 14), (36, 44))
    page.mouse.up()
    expect(chips(page).nth(2)).to_contain_text("copy 16 \N{MULTIPLICATION SIGN} 12 at (8, 8) to (28, 38)")
    page.locator(".palette label").first.click()
    page.get_by_label("What it shall do").select_option("raise")
    page.get_by_label("By how many deviations").fill("3")
    page.locator("[data-add=unit]").click()
    expect(chips(page).nth(3)).to_contain_text(re.compile(rf"raise {GAN}/\S+ by 3 in 16 . 12 at \(8, 8\)"))
    page.get_by_label("Or of a probe set").fill("faces 3")
    page.locator("[data-add=align]").click()
    expect(chips(page).nth(4)).to_contain_text("align to faces 3")
    visit.look("queued")
    page.get_by_role("button", name="Remove zoom").click()
    expect(chips(page)).to_have_count(4)
    page.get_by_role("button", name="Undo").click()
    expect(chips(page)).to_have_count(5)
    make(page)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    edits = steering.claim(engine, steering.waiting(engine)).payload["recipe"]["edits"]
    assert [edit["kind"] for edit in edits] == ["shift", "zoom", "copy-paste", "unit", "align"]
    assert (edits[2]["box"], edits[2]["to"], edits[3]["amount"]) == ([8, 8, 16, 12], [28, 38], 3)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_have_text("It was cancelled.")
    expect(chips(page)).to_have_count(5)
    assert visit.wrong == []


SAID = [
    {"kind": "shift", "dx": -8, "dy": 0.5},
    {"kind": "zoom", "factor": 1.25},
    {"kind": "copy-paste", "box": [1, 2, 30, 4], "to": [5, 6]},
    {"kind": "unit", "action": "raise", "amount": 1.5, "unit": f"{GAN}/main.2:3", "box": [1, 2, 3, 4]},
    {"kind": "unit", "action": "remove", "amount": 2, "concept": 4, "box": None},
    {"kind": "align", "image": {"digest": "abcdef0123456789"}, "strength": 1},
    {"kind": "align", "image": {"probe": "faces", "position": 3}, "strength": 0.5},
]


def test_chips_and_pages_say_the_same(visit: Visit, inversion: int) -> None:
    visit.page.goto(f"/translations/{inversion}")
    said = visit.page.evaluate("(edits) => edits.map(RosettaEdits.describe)", SAID)
    assert said == [edit_forms.describe(edit) for edit in SAID]


def test_an_image_is_dropped_to_align_to(visit: Visit, engine: sa.Engine, inversion: int) -> None:
    page = visit.page
    page.goto(f"/translations/{inversion}")
    data = page.evaluate_handle(DROP, list(png()))
    page.dispatch_event("body", "dragover", {"dataTransfer": data})
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    expect(page).to_have_url(re.compile(f"/translations/{inversion}$"))  # it waits for what else is asked for
    page.locator("[data-add=align]").click()
    expect(chips(page)).to_contain_text(["align to upload"])
    assert visit.wrong == []


def test_what_cannot_be_made_is_said_and_what_was_asked_for_stays(
    visit: Visit, engine: sa.Engine, settings: Settings, inversion: int
) -> None:
    page = visit.page
    page.goto(f"/translations/{inversion}")
    page.locator("[data-add=unit]").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose a unit")
    page.get_by_label("unit or concept").fill("teeth")
    page.locator("[data-add=unit]").click()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("alert")).to_contain_text("'teeth' is not an address")
    expect(chips(page)).to_have_count(1)
    assert len(visit.wrong) == 2  # that it was refused, as the browser says it
    page.get_by_role("button", name="Remove mute teeth").click()
    page.locator(".stage").press("ArrowLeft")
    make(page)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    taken = steering.claim(engine, steering.waiting(engine))
    steering.show(engine, settings, taken, 10)
    jobs.fail(engine, taken, "invalid_request", "image 0: the losses of every start were not finite")
    expect(page.get_by_role("alert")).to_have_text(re.compile("could not be made: image 0: the losses"))
    expect(chips(page)).to_have_text([re.compile("shift by \\(\N{MINUS SIGN}1, 0\\)")])
    visit.look("failed")


def test_without_a_script_by_fields(browser, service_url: str, engine: sa.Engine, settings: Settings) -> None:
    context = browser.new_context(base_url=service_url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/translations")
    page.get_by_label("An image of yours").check()
    page.locator("input[type=file]").set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": png()})
    page.get_by_role("button", name="Invert").press("Enter")
    page.wait_for_url("**/translations/jobs/*")
    first = steering.play(engine, settings)
    page.reload()
    expect(page).to_have_url(re.compile(f"/translations/{first}$"))
    page.get_by_label("right").fill("80")
    page.locator("form.studio").evaluate("form => form.noValidate = true")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("alert")).to_contain_text("a shift stays inside the frame, 64 x 64 pixels")
    page.get_by_label("right").fill("8")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url("**/translations/jobs/*")
    second = steering.play(engine, settings)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Shift by (8, 0)")
    page.get_by_role("button", name="Remove edit").click()
    expect(page).to_have_url(re.compile(f"/translations/{first}$"))
    assert page.goto(f"/translations/{second}").status == 404
    context.close()
