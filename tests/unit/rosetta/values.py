"""Answers of a service, as JSON."""

from __future__ import annotations

from typing import Any

WHEN = "2026-11-24T12:00:00Z"


def model(name: str = "a", **changes: Any) -> dict[str, Any]:
    values = {
        "name": name,
        "family": "resnet",
        "aliases": ["net"],
        "source": f"demo:{name}",
        "weights_digest": "ab" * 32,
        "is_generator": False,
        "units": 1280,
        "created_at": WHEN,
        "details": {"licence": "MIT"},
        "layers": [],
    }
    return values | changes


def job(number: int = 12, state: str = "running", **changes: Any) -> dict[str, Any]:
    values = {
        "id": number,
        "kind": "mine",
        "state": state,
        "parameters": {"probe": "faces", "models": ["a", "b"], "keep": 10},
        "progress_done": 45,
        "progress_total": 100,
        "progress_note": "4 models",
        "eta_s": 70.0,
        "error_code": None,
        "error_message": None,
        "result": {"pairs": 1} if state == "done" else None,
        "created_at": WHEN,
        "started_at": WHEN,
        "finished_at": "2026-11-24T12:01:10Z" if state not in {"queued", "running"} else None,
    }
    return values | changes


def unit(number: int = 813, **changes: Any) -> dict[str, Any]:
    statistics = {
        "probe_set": "faces", "mean": 0.5, "std": 1.25, "minimum": 0.0, "maximum": 9.75, "dead": False
    }  # fmt: skip
    values = {
        "model": "dcgan-faces",
        "number": number,
        "layer": "main.8",
        "channel": 45,
        "address": "dcgan-faces/main.8:45",
        "height": 32,
        "width": 32,
        "statistics": [statistics],
    }
    return values | changes


def match(rank: int = 1, **changes: Any) -> dict[str, Any]:
    values = {
        "probe_set": "faces",
        "model": "dcgan-faces",
        "layer": "main.8",
        "unit": 813,
        "channel": 45,
        "neighbour_model": "efficientnet-lite0",
        "neighbour_layer": "blocks.2",
        "neighbour_unit": 66 + rank,
        "neighbour_channel": 10 + rank,
        "correlation": 0.8125 / rank,
        "rank": rank,
        "reciprocal_rank": 1 if rank == 1 else None,
        "q_value": 0.0001 * rank,
        "is_best_buddy": rank == 1,
    }
    return values | changes


def pair(**changes: Any) -> dict[str, Any]:
    values = {
        "probe_set": "faces",
        "model": "dcgan-faces",
        "neighbour_model": "efficientnet-lite0",
        "best_buddies": 97,
        "significant_best_buddies": 90,
        "chance_best_buddies": 11.5,
        "live_units": 960,
        "neighbour_live_units": 512,
    }
    return values | changes


def probe(name: str = "faces", **changes: Any) -> dict[str, Any]:
    values = {
        "name": name,
        "digest": "cd" * 32,
        "kind": "generator",
        "count": 100,
        "height": 64,
        "width": 64,
        "generator": "dcgan-faces",
        "seed": 0,
        "truncation": None,
        "class_index": None,
        "created_at": WHEN,
        "mined_models": ["a", "b"],
    }
    return values | changes


def page(*items: Any, cursor: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": cursor}
