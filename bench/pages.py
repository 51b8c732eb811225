"""Pages and heat maps over HTTP, on the demo zoo with a worker: first after a start, not made yet, and kept.

The stack is the product's own, `rosetta up`, in a data directory of its own: embedded servers, one worker, the API.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.stack import DEMO
from rosetta.local import read_state

IMAGES, WARM, COLD = 60, 30, 8
GAN, NET = DEMO[:2]
PAGES = {
    "home": "/",
    "model": f"/models/{GAN}",
    "unit": f"/units/{GAN}/813",
    "concepts": "/concepts",
    "concept": "/concepts/1",
    "pair": f"/pairs/{GAN}/{NET}",
    "map": "/map",
    "jobs": "/jobs",
}
_ROSETTA = [sys.executable, "-c", "from rosetta.cli import main; main()"]


def run() -> dict[str, Any]:
    """The figures, milliseconds: of a page the first after a start, then the median and the 95th percentile."""
    with tempfile.TemporaryDirectory(prefix="rosetta-bench-") as folder:
        with _up(folder, "demo", "--images", str(IMAGES)):
            pass  # mined, and down again: what follows is the first that a start answers
        figures: dict[str, Any] = {}
        with _up(folder, "up", "--detach") as url, httpx.Client(base_url=url, timeout=60) as http:
            for name, path in PAGES.items():
                figures[f"{name}_first_ms"] = _milliseconds(http, path)
                times = [_milliseconds(http, path) for _ in range(WARM)]
                figures |= _spread(name, times)
            figures |= _heat_maps(http)
    return figures


def _heat_maps(http: httpx.Client) -> dict[str, Any]:
    """Of maps that a worker has to make, each of a layer and images that were not asked for yet; and that are kept."""

    def path(unit: int, image: int) -> str:
        return f"/v1/models/{GAN}/units/{unit}/heatmap?image={image}&size=192"

    http.get(path(0, 0)).raise_for_status()  # the worker has loaded the model
    cold = [_milliseconds(http, path(813, IMAGES - 1 - image)) for image in range(COLD)]
    warm = [_milliseconds(http, path(813 + turn, IMAGES - 1)) for turn in range(WARM)]
    tag = {"if-none-match": http.get(path(813, IMAGES - 1)).headers["etag"]}
    known = [_milliseconds(http, path(813, IMAGES - 1), tag, 304) for _ in range(WARM)]
    return _spread("heat_map_cold", cold) | _spread("heat_map_warm", warm) | _spread("heat_map_unchanged", known)


def _spread(name: str, times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {f"{name}_p50_ms": statistics.median(times), f"{name}_p95_ms": ordered[int(0.95 * (len(ordered) - 1))]}


def _milliseconds(http: httpx.Client, path: str, headers: dict[str, str] | None = None, status: int = 200) -> float:
    begun = time.perf_counter()
    answer = http.get(path, headers=headers)
    spent = time.perf_counter() - begun
    if answer.status_code != status:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")
    return 1000 * spent


@contextmanager
def _up(folder: str, *command: str) -> Iterator[str]:
    """The address of a stack, while it is up."""
    environment = {**os.environ, "ROSETTA_DATA_DIR": folder}

    def rosetta(*arguments: str) -> None:
        subprocess.run([*_ROSETTA, *arguments], env=environment, check=True, capture_output=True, timeout=600)

    rosetta(*command)
    try:
        state = read_state(Path(folder))
        assert state is not None  # it is up
        yield state["url"]
    finally:
        rosetta("down")
