"""A translation between models on paper, with the file of its coefficients: from NET to the GAN, by one match each."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import sqlalchemy as sa
from safetensors.numpy import save

from service import jobs
from service.database import schema
from service.settings import Settings
from service.submit_equivalents import coefficients_path
from tests.integration.api import zoo

# Units of the GAN, and the units of NET that they are told from; each is told as twice its match in deviations, plus 1.
UNITS, INDEX = (0, 3, 9), (11, 5, 2)


def add_equivalents(conn: sa.Connection, settings: Settings, *, file: bool = True) -> int:
    """The number of a translation from NET to the GAN. NET's units have mean 1 and std 2, the GAN's 10 and 3."""
    rows = conn.execute(sa.select(schema.models.c.name, schema.models.c.id))
    model = {row.name: row.id for row in rows}
    about = {
        "source": {"name": zoo.NET, "layers": [["blocks.1", 5, 8, 8], ["blocks.2", 7, 8, 8]]},
        "target": {"name": zoo.GAN, "layers": [["main.2", 8, 8, 8], ["main.8", 6, 8, 8]]},
    }
    ones = np.ones((3, 1), np.float32)
    arrays = {
        "units": np.array(UNITS, np.int32),
        "index": np.array(INDEX, np.int32)[:, None],
        "correlation": 0.5 * ones,
        "source_mean": np.ones(12, np.float32),
        "source_std": np.full(12, 2, np.float32),
        "target_mean": np.full(3, 10, np.float32),
        "target_std": np.full(3, 3, np.float32),
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
    }
    for kind in ("pooled", "maps"):
        arrays |= {f"{kind}_weights": 2 * ones, f"{kind}_intercept": ones[:, 0]}
    content = save(arrays)
    digest = hashlib.sha256(content).hexdigest() if file else "0" * 64
    if file:
        path = coefficients_path(settings, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    faces = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
    shares = {"pooled_by_unit": [0.5, 0.25, float("nan")], "maps_by_unit": [0.4, 0.2, float("nan")]}
    shares |= {f"{name}_chance": [0.1, -0.5, float("nan")] for name in shares}
    totals = {"pooled_explained": 0.375, "pooled_best": 0.25, "pooled_chance": -0.125}
    totals |= {"maps_explained": 0.3, "maps_best": 0.2, "maps_chance": None}
    sides = {"source_model_id": model[zoo.NET], "target_model_id": model[zoo.GAN]}
    numbers = {"ridge": 0.01, "images": 100, "held_out": 50, "unseen": True, "seed": 1, "code_version": "1"}
    return zoo.insert(
        conn,
        schema.equivalents,
        probe_set_id=faces,
        k=1 if file else 2,
        digest=digest,
        units=list(UNITS),
        **sides,
        **shares,
        **totals,
        **numbers,
    )


def finish(engine: sa.Engine, job: int, number: int) -> None:
    """A worker's part: the job is done, and the translation is what it made."""
    with engine.begin() as conn:
        result = {"equivalents": number, "units": 3}
        conn.execute(sa.update(schema.jobs).where(schema.jobs.c.id == job).values(state="done", result=result))
        conn.execute(sa.update(schema.equivalents).where(schema.equivalents.c.id == number).values(job_id=job))
    with engine.connect() as conn:
        assert jobs.get(conn, job).state == "done"
