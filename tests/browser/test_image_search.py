"""People with an image: it is dropped, looked at by a worker, a box is drawn in it; and what is no image is said so."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from PIL import Image
from playwright.sync_api import expect

from service import jobs
from service.database import schema
from tests.browser.conftest import Visit
from tests.integration.api.zoo import GAN, NET

DROP = """(bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "me.png", { type: "image/png" }));
  return data;
}"""


def png(size: tuple[int, int] = (300, 200)) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def nobody_waits(engine: sa.Engine, service_url: str) -> Iterator[None]:
    yield
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.jobs).where(schema.jobs.c.kind == "look"))


def look(engine: sa.Engine, unit: int) -> None:
    """Plays the worker: the waiting image moved this unit of NET most."""
    columns = schema.jobs.c
    with engine.connect() as conn:
        waiting = conn.scalar(sa.select(columns.id).where(columns.kind == "look", columns.state == "queued"))
    claim = jobs.claim(engine, waiting, 0, uuid4(), 60.0)
    assert claim
    match = {"probe_set": "faces", "model": NET, "layer": "blocks.1", "channel": 3, "score": 2.5, "inside": 2.0}
    with jobs.publish(
        engine, claim, {"matches": [{**match, "unit": unit, "outside": -0.5, "peak": 4.0}], "left_out": 7}
    ):
        pass


def test_an_image_is_dropped_and_searched_and_a_box_in_it(visit: Visit, engine: sa.Engine) -> None:
    page = visit.page
    page.goto("/")
    data = page.evaluate_handle(DROP, list(png()))
    page.dispatch_event("body", "dragover", {"dataTransfer": data})
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    page.wait_for_url("**/search?image=*")
    expect(page.get_by_role("alert")).to_contain_text("start one with rosetta worker")
    visit.look("waiting")
    look(engine, 3)
    row = page.locator(".answers tbody tr")
    expect(row).to_have_count(1)  # the page came again when the job was done
    expect(row).to_contain_text(f"{NET} 3")
    expect(row).to_contain_text("+2.50")
    for picture in row.locator("img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("naturalWidth", 192)
    visit.look("found")
    page.evaluate("scrollTo(0, 0)")
    canvas = page.locator("svg[data-box]").bounding_box()
    assert canvas
    scale = canvas["width"] / 300
    page.mouse.move(canvas["x"] + 100 * scale, canvas["y"] + 50 * scale)
    page.mouse.down()
    page.mouse.move(canvas["x"] + 160 * scale, canvas["y"] + 120 * scale, steps=3)
    page.mouse.up()
    page.wait_for_url(re.compile(r"[?&]x=(98|99|100)&y=(48|49|50)&w=6[0-3]&h=7[0-3]&"))
    look(engine, 4)
    expect(row).to_contain_text("0.50 outside")
    expect(page.locator("svg .box")).to_be_visible()
    visit.look("box")
    row.get_by_role("link", name=f"{NET} 4").click()
    expect(page).to_have_url(re.compile(f"/units/{NET}/4$"))
    assert visit.wrong == []


def test_without_a_script_by_keyboard(browser, service_url: str, engine: sa.Engine) -> None:
    context = browser.new_context(base_url=service_url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Or an image").set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": png()})
    page.get_by_role("button", name="Search by image").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("What answers to this image?")
    look(engine, 3)
    page.reload()
    expect(page.locator(".answers tbody tr")).to_contain_text(f"{NET} 3")
    for name, value in (("left", "0"), ("top", "0"), ("width", "20"), ("height", "20")):
        page.get_by_label(name).fill(value)
    page.get_by_label("height").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("outside the central square")
    page.get_by_label("left").fill("290")
    page.get_by_label("left").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("outside the image of 300 x 200 pixels")
    page.get_by_label("width").fill("")
    page.get_by_label("In").select_option(NET)
    page.get_by_role("button", name="Search").first.click()
    expect(page.get_by_role("alert")).to_contain_text("a box is four numbers")
    context.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<svg/>", "no format that Pillow reads"), (png()[:200], "broken"), (png((9_500, 9_500)), "90,250,000 pixels")],
)
def test_what_is_no_image_is_said_so(browser, service_url: str, settings, content: bytes, message: str) -> None:
    context = browser.new_context(base_url=service_url)
    page = context.new_page()
    page.goto("/search")
    page.get_by_label("Or an image").set_input_files({"name": "x", "mimeType": "image/png", "buffer": content})
    expect(page.get_by_role("alert")).to_contain_text(message)
    context.close()


@pytest.mark.parametrize("query", ["image=zz", f"image={'0' * 64}", f"in={GAN}&image="])
def test_addresses_that_lead_nowhere(browser, service_url: str, query: str) -> None:
    context = browser.new_context(base_url=service_url)
    page = context.new_page()
    answer = page.goto(f"/search?{query}")
    assert answer
    assert answer.status in {200, 404, 422}
    assert (answer.status == 200) == query.endswith("image=")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    context.close()
