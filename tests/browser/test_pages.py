"""People at the pages: from a question to a unit, its concept and back; a job to its end; by keyboard; in trouble."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from service import jobs
from tests.browser.conftest import Visit
from tests.integration.api.zoo import DEAD, GAN, NET

QUESTION = "which neurons in EfficientNet match DCGAN unit 9?"


def test_from_a_question_to_a_unit_its_concept_and_back(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    visit.look("home")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Answer")).to_contain_text("best match for dcgan-faces unit 9")
    visit.look("answer")
    page.get_by_role("link", name="See dcgan-faces unit 9").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Unit 9")
    for picture in page.locator(".picture img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("naturalWidth", 192)
    visit.look("unit")
    page.get_by_role("link", name=re.compile("^Concept 2")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Concept 2")
    assert page.locator(".grid-of-images tbody tr").count() == 2
    visit.look("concept")
    page.get_by_role("link", name=f"{NET} 4").first.click()
    expect(page).to_have_url(re.compile(f"/units/{NET}/4$"))
    page.go_back()
    page.go_back()
    expect(page).to_have_url(re.compile(f"/units/{GAN}/9"))
    assert visit.wrong == []


@pytest.mark.parametrize(
    "path",
    [
        "/models", f"/models/{GAN}", f"/units/{GAN}/{DEAD}", "/units/lonely/0", "/concepts",
        f"/pairs/{GAN}/{NET}", "/jobs",
    ],
)  # fmt: skip
def test_pages_fit_the_window(visit: Visit, path: str) -> None:
    visit.page.goto(path)
    visit.look("page")
    visit.page.set_viewport_size({"width": 360, "height": 700})
    visit.look("narrow")
    assert visit.wrong == []


def test_a_form_filters(visit: Visit) -> None:
    page = visit.page
    page.goto(f"/units/{GAN}/9")
    before = page.locator(".grid-of-images tbody tr").count()
    page.locator("select[name=in]").select_option(NET)
    page.get_by_label("Images by").select_option("mean")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".grid-of-images tbody tr")).to_have_count(2)
    assert before == 5
    assert page.get_by_label("Images by").input_value() == "mean"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == f"{GAN}-matches.csv"
    assert visit.wrong == []


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit.page
    page.goto(f"/models/{GAN}")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    expect(page.get_by_text("Skip to the content")).to_be_in_viewport()
    for _ in range(page.locator(".bar nav a").count() + 2):  # the brand before them, the box after them
        page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(f"{GAN} 8")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Unit 8")
    assert visit.wrong == []


@pytest.fixture
def claim(engine: sa.Engine, service_url: str) -> Iterator[jobs.Claim]:
    """A job that a worker, played here, has begun."""
    job = jobs.create(engine, "mine", f"browser {uuid4()}", {"probe": "faces", "models": [GAN]}, [{"images": 100}])
    found = jobs.claim(engine, job, 0, uuid4(), 60.0)
    assert found
    return found


def test_a_job_is_watched_to_its_end(visit: Visit, engine: sa.Engine, claim: jobs.Claim) -> None:
    page = visit.page
    page.goto(f"/jobs/{claim.job_id}")
    state, count = page.locator('[data-show="state"]'), page.locator('[data-show="count"]')
    expect(state).to_have_text("running")
    assert jobs.heartbeat(engine, claim, 40, 100, "second pass")
    expect(count).to_have_text("40 of 100")
    expect(page.locator('[data-show="note"]')).to_have_text("second pass")
    assert page.locator("progress").evaluate("bar => bar.value / bar.max") == 0.4
    visit.look("running")
    with jobs.publish(engine, claim, {"pairs": 1}):
        pass
    expect(state).to_have_text("done")
    expect(page.get_by_role("heading", name="Result")).to_be_visible()  # loaded again
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    visit.look("done")
    assert visit.wrong == []


def test_a_job_fails_and_is_tried_again(visit: Visit, engine: sa.Engine, claim: jobs.Claim) -> None:
    page = visit.page
    page.goto("/")
    card = page.locator(f'[data-job="{claim.job_id}"]')
    expect(card.locator('[data-show="state"]')).to_have_text("running")
    card.get_by_role("link").click()
    jobs.fail(engine, claim, "invalid_request", "the disk is full")
    expect(page.get_by_role("alert")).to_have_text("the disk is full")
    visit.look("failed")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator('[data-show="state"]')).to_have_text("queued")
    expect(page.get_by_text("No worker is running")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator('[data-show="state"]')).to_have_text("cancelled")
    assert visit.wrong == []


def test_a_picture_that_does_not_come_says_why(visit: Visit) -> None:
    page = visit.page
    page.unroute("**/heatmap?*")
    why = "no worker is at work: start one with `rosetta worker`"
    body = {"error": {"code": "unavailable", "message": why, "details": {"retry_after_s": 30}, "request_id": "x"}}
    asked = []
    page.route("**/heatmap?*", lambda route: (asked.append(route), route.fulfill(status=503, json=body)))
    page.goto(f"/units/{GAN}/9?in={NET}")
    expect(page.locator(".picture.missing")).to_have_count(6)
    expect(page.locator(".picture .why").first).to_have_text(why)
    assert len(asked) == 6 + 2  # the reason is asked for once a model
    visit.look("missing")
    assert all("503" in line for line in visit.wrong)


def test_a_picture_that_is_being_made_is_asked_for_again(visit: Visit) -> None:
    page = visit.page
    body = {"error": {"code": "unavailable", "message": "wait", "details": {"retry_after_s": 0.2}, "request_id": "x"}}
    left = [1] * 8
    page.route(
        "**/heatmap?*", lambda route: route.fulfill(status=503, json=body) if left and left.pop() else route.fallback()
    )
    page.goto(f"/units/{GAN}/9?in={NET}")
    for picture in page.locator(".grid-of-images tbody .picture img").all():
        expect(picture).to_have_js_property("naturalWidth", 192)
    assert page.locator(".picture.missing").count() == 0
    assert left == []


def test_pages_work_without_scripts(browser, service_url: str, engine: sa.Engine, claim: jobs.Claim) -> None:
    context = browser.new_context(base_url=service_url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("searchbox").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_label("Answer")).to_be_visible()
    page.goto(f"/jobs/{claim.job_id}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator('[data-show="state"]')).to_have_text("cancelled")
    context.close()
