"""The map page with 100,000 units in headless Chromium, and how long their layout takes.

The map is seeded and of clusters, and lies in a durable Postgres; the service runs as `rosetta up` runs it, in a
process of its own. Frames are counted by `requestAnimationFrame` while the pointer drags and the wheel turns; without a
graphics card the page writes pixels, and WebGL by SwiftShader is measured beside it, as the page would fare with it.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import httpx
import numpy as np
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, sync_playwright

from bench.stack import store
from service.database import schema
from service.database.copy import copy_records
from tests.integration.api import zoo
from workers.mining.embedding import neighbourhoods
from workers.mining.planar import lay_out

MODELS, LAYERS, CHANNELS = 10, 10, 1000
UNITS = MODELS * LAYERS * CHANNELS
LAID_OUT, NEIGHBOURS = 20_000, 15
VISITS, DRAGS, TURNS, LOOKS = 3, 120, 120, 2000
# In place of SwiftShader's, which the page draws without.
_CARD = """WebGL2RenderingContext.prototype.getParameter = (get => function (name) {
  return name === 0x9246 ? "A card" : get.call(this, name); })(WebGL2RenderingContext.prototype.getParameter);"""
_POINT = np.dtype([("map_id", "i4"), ("model_id", "i4"), ("unit", "i4"), ("x", "f4"), ("y", "f4")])


def run() -> dict[str, Any]:
    """The figures; times of visits and of requests are medians."""
    figures: dict[str, Any] = {"units": UNITS}
    with ExitStack() as stack:
        engine, _ = stack.enter_context(store())
        with engine.begin() as connection:
            map_id = _seed(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
        url = stack.enter_context(_Served())
        figures |= _points(f"{url}/v1/maps/{map_id}")
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        figures |= _visit(browser, url)
        software = _visit(browser, url, webgl=True)
        figures |= {f"webgl_{name}": software[name] for name in ("pan_fps", "pan_p95_ms", "zoom_fps")}
    return figures | _layout()


def _seed(connection: sa.Connection) -> int:
    """The id of a map of clusters, of models with concepts."""
    rng = np.random.default_rng(0)
    layers = [(f"layer.{place}", CHANNELS) for place in range(LAYERS)]
    models = [zoo.add_model(connection, f"model-{place}", layers, family="bench") for place in range(MODELS)]
    probe_set = zoo.add_probe(connection, "bench")
    per_model = LAYERS * CHANNELS
    for model in models:
        connection.execute(
            schema.profiles.insert().values(
                probe_set_id=probe_set, model_id=model, dead_units=0, code_version="1", job_id=None
            )
        )
    zoo.add_concepts(connection, probe_set, [dict.fromkeys(models, unit) for unit in range(200)])
    numbers = {"version": 1, "units": UNITS, "n_neighbors": NEIGHBOURS, "min_dist": 0.1, "seed": 0}
    map_id = zoo.insert(connection, schema.unit_maps, probe_set_id=probe_set, code_version="1", **numbers)
    points = np.zeros(UNITS, _POINT)
    points["map_id"], points["model_id"] = map_id, np.repeat(models, per_model)
    points["unit"] = np.tile(np.arange(per_model), MODELS)
    centres = rng.normal(scale=6, size=(200, 2))
    places = centres[rng.integers(0, len(centres), UNITS)] + rng.normal(scale=0.8, size=(UNITS, 2))
    points["x"], points["y"] = places.T
    copy_records(connection, schema.unit_map_points, points)
    return map_id


def _points(address: str) -> dict[str, Any]:
    """How long the points take over HTTP, and their bytes."""
    with httpx.Client(timeout=60) as client:  # the service begins only now
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            answer = client.get(f"{address}/points", headers={"accept-encoding": "gzip"})
            seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        with client.stream("GET", f"{address}/points", headers={"accept-encoding": "gzip"}) as raw:
            packed = sum(map(len, raw.iter_raw()))
    return {
        "points_ms": 1e3 * statistics.median(seconds),
        "points_bytes": len(answer.content),
        "points_sent_bytes": packed,
    }


def _visit(browser: Browser, url: str, *, webgl: bool = False) -> dict[str, Any]:
    """The page, visited cold and then moved in."""
    firsts = []
    for last in (*[False] * (VISITS - 1), True):
        context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        if webgl:
            page.add_init_script(_CARD)
        page.goto("/map", wait_until="commit")
        page.wait_for_selector("#map[data-frames]")
        firsts.append(page.evaluate("performance.getEntriesByName('map drawn')[0].startTime"))
        if last:
            assert page.locator("#map").get_attribute("data-drawing") == ("webgl" if webgl else "pixels")
            figures = _move(page)
        context.close()
    return {"first_draw_ms": statistics.median(firsts), **figures}


def _move(page: Page) -> dict[str, Any]:
    page.wait_for_timeout(300)
    figures: dict[str, Any] = {"bytes": page.evaluate(_BYTES)}
    for name, times in (("pan", page.evaluate(_PAN, DRAGS)), ("zoom", page.evaluate(_ZOOM, TURNS))):
        figures[f"{name}_fps"] = 1e3 * len(times) / sum(times)
        figures[f"{name}_mean_ms"] = statistics.mean(times)
        figures[f"{name}_p95_ms"] = statistics.quantiles(times, n=20)[-1]
    drawn = int(page.locator("#map").get_attribute("data-frames") or 0)
    if drawn < DRAGS + TURNS:
        raise RuntimeError(f"{DRAGS + TURNS} movements drew {drawn} frames")
    figures["hover_us"] = 1e3 * page.evaluate(_HOVER, LOOKS)
    return figures


_BYTES = """performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
  .reduce((sum, entry) => sum + entry.transferSize, 0)"""
# One event a frame, as a browser sends them; the time from frame to frame.
_FRAMES = """
  const canvas = document.querySelector("#map canvas");
  const box = canvas.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const frame = () => new Promise(requestAnimationFrame);
  const pointer = (kind, across, down) => canvas.dispatchEvent(new PointerEvent(kind, { pointerId: 1, button: 0,
    pointerType: "mouse", clientX: x + across, clientY: y + down, bubbles: true }));
  canvas.setPointerCapture = () => {};
  const times = [];
"""
_PAN = f"""async (count) => {{ {_FRAMES}
  pointer("pointerdown", 0, 0);
  for (let step = 0, before = await frame(); step < count; step += 1) {{
    pointer("pointermove", 150 * Math.sin(step / 8), 100 * Math.sin(step / 13));
    const now = await frame();
    times.push(now - before);
    before = now;
  }}
  pointer("pointerup", 0, 0);
  return times;
}}"""
_ZOOM = f"""async (count) => {{ {_FRAMES}
  for (let step = 0, before = await frame(); step < count; step += 1) {{
    canvas.dispatchEvent(new WheelEvent("wheel", {{ deltaY: step % 60 < 30 ? -40 : 40, clientX: x + 60, clientY: y,
      cancelable: true }}));
    const now = await frame();
    times.push(now - before);
    before = now;
  }}
  return times;
}}"""
# Milliseconds a look-up at the scale where all is seen, the dearest one.
_HOVER = """(count) => {
  const canvas = document.querySelector("#map canvas");
  const begun = performance.now();
  let found = 0;
  for (let look = 0; look < count; look += 1) {
    found += RosettaMap.unitAt((look * 7919) % canvas.clientWidth, (look * 104729) % canvas.clientHeight) >= 0;
  }
  if (!found) throw new Error("no unit was found");
  return (performance.now() - begun) / count;
}"""


class _Served:
    """The service under uvicorn, in a process of its own."""

    def __enter__(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.match_http", "service", str(listener.fileno())],
                pass_fds=[listener.fileno()],
            )
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def _layout() -> dict[str, Any]:
    """Seconds of the layout: neighbours, and UMAP, compiled before."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(400, schema.SKETCH_DIMENSIONS))
    sketches = centres[rng.integers(0, 400, LAID_OUT)] + rng.normal(size=(LAID_OUT, schema.SKETCH_DIMENSIONS))
    sketches = sketches.astype(np.float16)
    small = neighbourhoods(sketches[:100], NEIGHBOURS, seed=0)
    lay_out(small.index, small.distance, small.start, min_dist=0.1, seed=0)
    begun = time.perf_counter()
    found = neighbourhoods(sketches, NEIGHBOURS, seed=0)
    neighbours_s = time.perf_counter() - begun
    lay_out(found.index, found.distance, found.start, min_dist=0.1, seed=0)
    return {
        "laid_out_units": LAID_OUT,
        "neighbours_s": neighbours_s,
        "umap_s": time.perf_counter() - begun - neighbours_s,
    }
