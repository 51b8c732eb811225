"""Directions on paper: three axes of the GAN's latents, and pictures of walks, as the jobs store them."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from service.database import schema
from service.pictures.cache import Cache
from service.settings import Settings
from service.submit_directions import walk_along
from tests.integration.api import zoo


def add_directions(conn: sa.Connection, **values: object) -> int:
    """The number of directions of the GAN, on faces: the first axis moves concept 1 and NET 3, the others nothing."""
    rows = conn.execute(sa.select(schema.models.c.name, schema.models.c.id))
    model = {row.name: row.id for row in rows}
    faces = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
    steps = np.random.default_rng(len(values)).standard_normal((3, 100)).astype("<f4")
    numbers = {"space": "z", "layer": "main.2", "samples": 2000, "seed": 0, "latents": 16, "controls": 64}
    found = zoo.insert(
        conn,
        schema.directions,
        generator_id=model[zoo.GAN],
        probe_set_id=faces,
        shares=[0.25, 0.125, 0.0625],
        deviations=[1.0, 1.5, 0.5],
        steps=steps.tobytes(),
        code_version="1",
        **numbers | values,
    )
    concept = conn.scalar(sa.select(sa.func.min(schema.concepts.c.id)))
    for name, unit, axis, change, z, q in (
        (zoo.GAN, None, 0, 0.75, 12.0, 0.001),
        (zoo.NET, None, 0, 0.5, 8.0, 0.001),
        (zoo.NET, 3, 0, -0.5, -9.0, 0.01),
        (zoo.NET, 4, 1, 0.01, 0.3, 0.9),
    ):
        target = {"unit": unit, "concept_id": concept if unit is None else None}
        numbers = {"axis": axis, "change": change, "z": z, "q_value": q}
        row = {"directions_id": found, "model_id": model[name], **target, **numbers}
        conn.execute(schema.direction_movements.insert().values(row))
    return found


def add_walk(conn: sa.Connection, settings: Settings, directions: int, **where: object) -> None:
    """Keeps the picture of a walk: nine images from dark to light, 8 x 8."""
    walk = walk_along(conn, directions, **where)
    shades = np.linspace(10, 250, len(walk.payload["sigmas"])).astype(np.uint8)
    strip = np.repeat(np.repeat(shades, 8)[None, :, None], 8, 0).repeat(3, 2)
    cache = Cache(settings)
    cache.write_image(cache.walk_path(walk.key), np.ascontiguousarray(strip))
