"""People at the labels: one is given, found from home, and removed; markup is text; a wrong one is said so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from playwright.sync_api import Dialog, expect

from service.database import schema
from tests.browser.conftest import Visit
from tests.integration.api.zoo import GAN

HOSTILE = ("<script>alert(1)</script> hair", '"><img src=/nowhere onerror=alert(1)> hair')


@pytest.fixture(autouse=True)
def nothing_stays(engine: sa.Engine, service_url: str) -> Iterator[None]:
    yield
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.labels))


def test_a_label_is_given_found_from_home_and_removed(visit: Visit) -> None:
    page = visit.page
    page.goto(f"/units/{GAN}/9")
    page.get_by_label("In your words").fill("reading glasses")
    page.get_by_label("Your name").fill("ada")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{page.url.partition('/units')[0]}/units/{GAN}/9#labels")
    chip = page.locator(".label", has_text="reading glasses")
    expect(chip).to_contain_text("person · ada")
    expect(chip).to_be_in_viewport()
    visit.look("unit")
    page.get_by_role("link", name="Concept 2").first.click()
    expect(page.locator(".label", has_text="reading glasses")).to_contain_text("members")
    page.get_by_label("In your words").fill("spectacles")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Concept 2: spectacles")
    visit.look("concept")
    page.goto("/concepts")
    expect(page.locator("tr", has_text="spectacles, reading glasses")).to_contain_text("Concept 2")
    visit.look("concepts")
    page.goto("/")
    page.get_by_role("searchbox").fill("glass")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("glass")
    visit.look("found")
    page.get_by_role("link", name=f"{GAN} 9").click()
    page.get_by_role("button", name="Remove the label reading glasses").click()
    expect(page.locator(".label")).to_have_count(0)
    assert visit.wrong == []


def test_markup_is_shown_as_text(visit: Visit) -> None:
    page = visit.page

    def heard(dialog: Dialog) -> None:
        visit.wrong.append(f"a label's script ran: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", heard)
    for path, text in zip(("/concepts/2", f"/units/{GAN}/9"), HOSTILE, strict=True):
        page.goto(path)
        page.get_by_label("In your words").fill(text)
        page.get_by_label("Your name").fill("<b>ada</b>")
        page.get_by_role("button", name="Add").click()
        expect(page.locator(".label", has_text=text)).to_contain_text("<b>ada</b>")
    expect(page.get_by_role("button", name=f"Remove the label {HOSTILE[1]}", exact=True)).to_be_visible()
    for path in ("/concepts/2", "/concepts", "/search?q=hair"):
        page.goto(path)
        for text in HOSTILE:
            expect(page.get_by_text(text).first).to_be_visible()
        assert page.locator("main script, img[src='/nowhere'], .label b").count() == 0
        visit.look("markup")
    assert visit.wrong == []


def test_what_is_no_label_is_said_beside_the_form(browser, service_url: str) -> None:
    context = browser.new_context(base_url=service_url, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/units/{GAN}/9")
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("In your words").fill("   ")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_have_text("the label is empty: say in a few words what it is")
    expect(page.get_by_label("Your name")).to_have_value("ada")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Unit 9")
    page.get_by_label("In your words").fill("glasses")
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".label")).to_contain_text("glasses")
    context.close()
