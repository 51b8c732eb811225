"""People at the directions of a generator: a slider walks, a list leads from one to the next."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.integration.api.directing import add_directions, add_walk
from tests.integration.api.zoo import GAN, NET

# Of a pixel, read from a copy: to read the canvas itself slows it down, and the browser says so.
_SHADE = """(() => {
  const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  copy.drawImage(document.querySelector(".walk canvas"), 0, 0);
  return copy.getImageData(4, 4, 1, 1).data[0];
})()"""


@pytest.fixture(scope="module", autouse=True)
def number(engine, settings, service_url):
    with engine.begin() as conn:
        found = add_directions(conn)
        for axis in (0, 1):
            add_walk(conn, settings, found, axis=axis)
        return found


def test_a_slider_walks(visit: Visit) -> None:
    page = visit.page
    page.goto(f"/models/{GAN}")
    page.get_by_role("link", name="Directions along which").click()
    canvas, slider = page.locator(".walk canvas"), page.get_by_role("slider")
    expect(canvas).to_have_attribute("data-drawn", "4")
    middle = page.evaluate(_SHADE)
    slider.fill("8")
    expect(page.locator(".walk-place")).to_have_text("+2.00 deviations")
    light = page.evaluate(_SHADE)
    slider.fill("3.5")
    between = page.evaluate(_SHADE)
    slider.fill("3")
    before = page.evaluate(_SHADE)
    assert before < between < middle < light - 80
    slider.press("ArrowRight")
    expect(page.locator(".walk-place")).to_have_text("\N{MINUS SIGN}0.38 deviations")
    expect(page.get_by_role("link", name=re.compile(f"{NET} 3"))).to_be_visible()
    visit.look("directions")
    page.get_by_role("link", name="1", exact=True).click()
    expect(page.get_by_role("heading", name="Direction 1")).to_be_visible()
    expect(canvas).to_have_attribute("data-drawn", "4")
    assert visit.wrong == []


def test_without_scripts_the_strip_is_there(visit: Visit) -> None:
    page = visit.page
    page.route("**/directions.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(f"/directions/{GAN}")
    expect(page.locator(".walk canvas")).to_be_hidden()
    expect(page.locator(".walk-strip img")).to_have_js_property("naturalWidth", 192 * 9)
    visit.look("directions without scripts")
    assert visit.wrong == []
