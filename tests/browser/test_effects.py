"""People at a unit's effects: read beside its matches, and measured by a button."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.integration.api.causing import add_effects
from tests.integration.api.zoo import GAN, NET


@pytest.fixture(scope="module", autouse=True)
def pairs(engine, service_url):
    with engine.begin() as conn:
        return add_effects(conn)


def test_what_a_unit_causes_is_beside_its_matches(visit: Visit) -> None:
    page = visit.page
    page.goto(f"/units/{GAN}/8")
    row = page.locator("#matches tr", has=page.get_by_role("link", name=f"{NET} ")).filter(has_text="causes")
    expect(row).to_have_count(1)
    expect(row.locator(".effect")).to_have_attribute("title", re.compile("response 2 deviations"))
    expect(page.get_by_text("pixels change 4.0 times as much as elsewhere")).to_be_visible()
    visit.look("effects")
    page.get_by_role("button", name="Measure effects again").click()
    expect(page).to_have_url(re.compile("/jobs/[0-9]+$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Job")
    visit.look("job")
    page.get_by_role("button", name="Cancel").click()
    assert visit.wrong == []
