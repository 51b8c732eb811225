"""A browser on the pages of a real service, over a zoo that was mined on paper. Only heat maps are painted here."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from PIL import Image
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright

from service.database import schema
from service.settings import Settings
from tests.integration.api import zoo
from tests.integration.client.conftest import serving

WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def service_url(engine: sa.Engine, settings: Settings) -> Iterator[str]:
    with engine.begin() as conn:
        zoo.seed(conn)
        probe_set = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
        lists = {"images_by_maximum": [4, 2, 9], "maxima": [3, 2, 1], "images_by_mean": [2, 4, 9], "means": [3, 2, 1]}
        for model, unit in ((zoo.GAN, 8), (zoo.GAN, 9), (zoo.NET, 3)):
            model_id = conn.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == model))
            row = {"probe_set_id": probe_set, "model_id": model_id, "unit": unit, **lists}
            conn.execute(schema.exemplars.insert().values(row))
    with serving(settings) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: while Playwright runs, no other test could run an event loop of its own.
    path = shutil.which("chromium")
    assert path, "these tests look at the pages with chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page in a window of its own, and everything that went wrong on it."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.wrong: list[str] = []
        self._folder = folder
        page.on("console", lambda said: said.type in ("error", "warning") and self.wrong.append(said.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("response", lambda answer: answer.status >= 400 and self.wrong.append(f"{answer.url}: {answer.status}"))

    def _failed(self, request: Request) -> None:
        # Leaving a page ends what it still waits for, such as a job's events.
        if request.failure != "net::ERR_ABORTED":
            self.wrong.append(f"{request.url}: {request.failure}")

    def look(self, name: str) -> None:
        """Keeps a screenshot; the page has no need to be moved sideways."""
        self.page.screenshot(path=self._folder / f"{name}.png", full_page=True)
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"


@pytest.fixture(params=WIDTHS)
def visit(request: pytest.FixtureRequest, browser: Browser, service_url: str, tmp_path: Path) -> Iterator[Visit]:
    scheme = "light" if request.param == "desktop" else "dark"
    context = browser.new_context(
        base_url=service_url, viewport={"width": WIDTHS[request.param], "height": 800}, color_scheme=scheme
    )
    visit = Visit(context.new_page(), tmp_path)
    visit.page.route("**/heatmap?*", paint)
    visit.page.route("**/v1/probes/*/images/*", paint)
    yield visit
    context.close()


def paint(route: Route) -> None:
    """A picture in place of what a worker would draw."""
    file = io.BytesIO()
    Image.new("RGB", (192, 192), (200, 120, 40)).save(file, "PNG")
    route.fulfill(body=file.getvalue(), content_type="image/png")
