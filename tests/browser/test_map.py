"""People at the map: seen, moved in, pointed at, filtered; by mouse, keys, finger; without WebGL, without scripts."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from service import jobs
from service.database import schema
from tests.browser.conftest import Visit
from tests.integration.api.mapping import add_map
from tests.integration.api.zoo import CLIP, GAN, NET

# In place of SwiftShader's, which the page takes for what it is, and draws without WebGL.
CARD = "WebGL2RenderingContext.prototype.getParameter = (get => function (name) { \
  return name === 0x9246 ? 'A card' : get.call(this, name); })(WebGL2RenderingContext.prototype.getParameter);"

# The map's place under a place of the window.
AT = "([x, y]) => { const { view } = RosettaMap; \
  const box = document.querySelector('#map canvas').getBoundingClientRect(); \
  const [across, down] = [x - box.left - box.width / 2, y - box.top - box.height / 2]; \
  return [view.x + across / view.scale, view.y - down / view.scale]; }"


@pytest.fixture(scope="module", autouse=True)
def mapped(engine: sa.Engine, service_url: str) -> int:
    with engine.begin() as conn:
        return add_map(conn, "faces")


def show(page: Page, address: str = "/map") -> Locator:
    """The canvas, once it is drawn."""
    page.goto(address)
    expect(page.locator("#map[data-drawing]")).to_be_visible()
    expect(page.locator(".map-status")).not_to_contain_text("Loading")
    return page.locator("#map canvas")


def place_of(page: Page, model: str, unit: int) -> tuple[int, tuple[float, float]]:
    """A unit's place among the points, and where it is in the window."""
    return page.evaluate(
        """([name, unit]) => {
          const data = JSON.parse(document.getElementById("map-data").textContent);
          const { points, toStage } = RosettaMap;
          const place = points.unit.findIndex(
            (one, at) => one === unit && data.models[points.model[at]].name === name);
          const box = document.querySelector("#map canvas").getBoundingClientRect();
          const [x, y] = toStage(place);
          return [place, [box.left + x, box.top + y]];
        }""",
        [model, unit],
    )


def colour_at(page: Page, place: tuple[float, float]) -> tuple[int, int, int]:
    x, y = place
    picture = Image.open(io.BytesIO(page.screenshot(clip={"x": round(x), "y": round(y), "width": 1, "height": 1})))
    return picture.convert("RGB").getpixel((0, 0))


def variable(page: Page, name: str) -> tuple[int, int, int]:
    """A colour of the style sheet."""
    text = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def view(page: Page) -> dict[str, float]:
    return page.evaluate("({ ...RosettaMap.view })")


def wait_for_frame(page: Page) -> None:
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("card", [False, True], ids=["pixels", "webgl"])
def test_every_unit_is_drawn_in_its_colour(visit: Visit, card: bool) -> None:
    page = visit.page
    if card:
        page.add_init_script(CARD)
    show(page).scroll_into_view_if_needed()
    assert page.locator("#map").get_attribute("data-drawing") == ("webgl" if card else "pixels")
    shown = page.screenshot()
    pixels = np.asarray(Image.open(io.BytesIO(shown)).convert("RGB")).astype(int)
    for model, colour in ((GAN, "--m0"), (NET, "--m1"), (CLIP, "--m2")):
        hits = 0
        for unit in range(9):
            _, (x, y) = place_of(page, model, unit)
            hits += np.abs(pixels[round(y), round(x)] - variable(page, colour)).max() <= 6
        assert hits >= 7, model  # a few lie beneath others
    visit.look("map")
    assert [line for line in visit.wrong if "ReadPixels" not in line] == []  # of SwiftShader, on screenshots


def test_pointing_says_what_it_is_and_a_click_opens_it(visit: Visit) -> None:
    page = visit.page
    show(page).scroll_into_view_if_needed()
    _, (x, y) = place_of(page, GAN, 9)
    page.mouse.move(x + 2, y + 2)
    tip = page.locator(".map-tip")
    expect(tip).to_contain_text(f"{GAN} 9")
    expect(tip).to_contain_text("main.8:1")
    expect(tip).to_contain_text("Concept 2")
    picture = tip.locator(".picture img")
    expect(picture).to_have_js_property("naturalWidth", 192)
    assert "image=4" in (picture.get_attribute("src") or "")
    visit.look("pointing")  # of the whole page, which moves what is in the window
    page.locator("#map canvas").scroll_into_view_if_needed()
    wait_for_frame(page)
    page.mouse.click(*place_of(page, GAN, 9)[1])
    expect(page.get_by_role("heading", level=1)).to_contain_text("Unit 9")
    page.get_by_role("link", name="See it on the map").click()
    expect(page.locator("#map[data-drawing]")).to_be_visible()
    expect(page.get_by_text("The ring is around")).to_contain_text(f"{GAN} 9")
    _, (x, y) = place_of(page, GAN, 9)
    ring = page.locator(".map-ring").bounding_box()
    assert ring
    assert abs(ring["x"] + ring["width"] / 2 - x) < 1
    assert abs(ring["y"] + ring["height"] / 2 - y) < 1
    assert visit.wrong == []


def test_a_concept_stands_out(visit: Visit) -> None:
    page = visit.page
    page.goto("/concepts/1")
    page.get_by_role("link", name="See it on the map").click()
    expect(page.locator("#map[data-drawing]")).to_be_visible()
    expect(page.get_by_text("stands out")).to_contain_text("3 units")
    page.locator("#map").scroll_into_view_if_needed()
    wait_for_frame(page)
    _, member = place_of(page, NET, 3)
    _, other = place_of(page, NET, 0)
    assert colour_at(page, member) == variable(page, "--m1")
    assert colour_at(page, other) != variable(page, "--m1")
    visit.look("concept")
    page.get_by_role("link", name="All alike again").click()
    page.locator("select[name=colour]").select_option("concept")
    expect(page.get_by_text("other concepts")).to_be_visible()
    page.locator("#map").scroll_into_view_if_needed()
    wait_for_frame(page)
    _, member = place_of(page, NET, 3)
    assert colour_at(page, member) == variable(page, "--m0")  # the first concept's
    visit.look("concepts")
    assert visit.wrong == []


def test_the_legend_shows_and_hides_models(visit: Visit) -> None:
    page = visit.page
    show(page)
    page.get_by_label(NET).uncheck()
    expect(page.locator(".map-status")).to_have_text("38 units shown")
    page.locator("select[name=colour]").select_option("layer")
    expect(page.get_by_text("last layer")).to_be_visible()
    assert "colour=layer" in page.url
    assert f"model={GAN}" in page.url
    assert NET not in page.url
    page.locator("#map").scroll_into_view_if_needed()
    _, (x, y) = place_of(page, NET, 3)
    page.mouse.move(x, y)
    expect(page.locator(".map-tip")).not_to_contain_text(NET)
    page.reload()
    expect(page.locator(".map-status")).to_have_text("38 units shown")
    expect(page.get_by_label(NET)).not_to_be_checked()
    visit.look("some")
    assert visit.wrong == []


def test_mouse_and_keys_move_it(visit: Visit) -> None:
    page = visit.page
    canvas = show(page)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    x, y = round(box["x"] + box["width"] / 3), round(box["y"] + box["height"] / 2)
    whole = view(page)
    under = page.evaluate(AT, [x, y])
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function("scale => RosettaMap.view.scale > scale * 1.2", arg=whole["scale"])
    assert page.evaluate(AT, [x, y]) == pytest.approx(under)  # what is under the pointer stays there
    near = view(page)
    page.mouse.down()
    page.mouse.move(x + 60, y + 20, steps=4)
    page.mouse.up()
    moved = view(page)
    assert moved["x"] == pytest.approx(near["x"] - 60 / near["scale"], abs=5 / near["scale"])
    assert moved["y"] == pytest.approx(near["y"] + 20 / near["scale"], abs=5 / near["scale"])
    assert "/map" in page.url  # a drag is no click
    page.get_by_role("button", name="Show all").click()
    assert view(page) == pytest.approx(whole)
    canvas.focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    after = view(page)
    assert after["scale"] == pytest.approx(1.5 * whole["scale"])
    assert after["x"] == pytest.approx(whole["x"] + 80 / after["scale"])
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert view(page) == pytest.approx(whole)
    page.keyboard.press("+")
    expect(page.locator(".map-tip")).to_be_visible()  # of the unit in the middle
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/units/[\w-]+/\d+$"))
    assert visit.wrong == []


def test_a_finger_asks_first(browser: Browser, service_url: str) -> None:
    context = browser.new_context(
        base_url=service_url,
        viewport={"width": 390, "height": 800},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
    )
    page = context.new_page()
    show(page).scroll_into_view_if_needed()
    assert page.evaluate("(c => c.width / c.clientWidth)(document.querySelector('#map canvas'))") == pytest.approx(
        2, rel=0.01
    )
    _, (x, y) = place_of(page, GAN, 9)
    page.touchscreen.tap(x, y)
    link = page.get_by_role("link", name="Open the unit")
    expect(link).to_be_visible()
    assert page.url.endswith("/map")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Unit 9")
    context.close()


def test_without_scripts_there_is_a_picture(browser: Browser, service_url: str) -> None:
    context = browser.new_context(base_url=service_url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/map")
    picture = page.locator(".map-picture")
    expect(picture).to_be_visible()
    assert page.request.get(picture.get_attribute("src") or "").headers["content-type"] == "image/png"
    expect(page.get_by_role("cell", name=GAN)).to_be_visible()
    for name in (CLIP, GAN):
        page.get_by_label(name).uncheck()
    page.locator("select[name=colour]").select_option("layer")
    page.get_by_role("button", name="Show").click()
    address = page.locator(".map-picture").get_attribute("src") or ""
    assert "colour=layer" in address
    assert f"model={NET}" in address
    assert GAN not in address
    expect(page.get_by_label(GAN)).not_to_be_checked()
    context.close()


@pytest.fixture
def photos(engine: sa.Engine) -> Iterator[None]:
    """Probe set `photos`, mined and without a map, before and after."""
    yield
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.jobs).where(schema.jobs.c.kind == "map"))
        of_photos = sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "photos").scalar_subquery()
        conn.execute(sa.delete(schema.unit_maps).where(schema.unit_maps.c.probe_set_id == of_photos))


def test_a_map_is_made_from_the_page(visit: Visit, engine: sa.Engine, photos: None) -> None:
    page = visit.page
    page.goto("/map?probe=photos")
    expect(page.get_by_text("No map of photos yet")).to_be_visible()
    visit.look("none")
    page.get_by_role("button", name="Make the map").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Job")
    number = int(page.url.rpartition("/")[2])
    page.goto("/map?probe=photos")
    expect(page.get_by_text("is being made")).to_be_visible()
    visit.look("making")
    claim = jobs.claim(engine, number, 0, uuid4(), 60.0)
    assert claim
    with engine.begin() as conn:
        add_map(conn, "photos")
    with jobs.publish(engine, claim, {"units": 21}):
        pass
    expect(page.locator("#map[data-drawing]")).to_be_visible()  # loaded again
    expect(page.get_by_text("21 units of 2 models")).to_be_visible()
    assert visit.wrong == []


def test_points_that_do_not_come_say_why(visit: Visit) -> None:
    page = visit.page
    error = {"error": {"code": "unavailable", "message": "the database is away", "details": {}, "request_id": "x"}}
    page.route("**/points?*", lambda route: route.fulfill(status=503, json=error))
    page.goto("/map")
    expect(page.get_by_role("status")).to_have_text("The points could not be loaded: the database is away")
