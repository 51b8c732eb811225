"""Effects on paper: what changes of the GAN's units caused, as the job `intervene` stores them."""

from __future__ import annotations

import sqlalchemy as sa

from service.database import schema
from tests.integration.api import zoo


def add_effects(conn: sa.Connection, action: str = "zero", scale: float = 1.0, **values: object) -> list[tuple]:
    """Effects of the GAN's units 8 and 9 on their best matches in NET, on faces: (unit, neighbour) of each.

    Unit 8 causes a response of 2 `scale`, q 0.01, and unit 9 one of -0.1 `scale`, q 0.8.
    """
    rows = conn.execute(sa.select(schema.models.c.name, schema.models.c.id))
    model = {row.name: row.id for row in rows}
    faces = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
    kind = {"probe_set_id": faces, "generator_id": model[zoo.GAN], "neighbour_model_id": model[zoo.NET]}
    numbers = {"latents": 64, "seed": 1, "code_version": "1"} | values
    intervention = zoo.insert(conn, schema.interventions, **kind, action=action, **numbers)
    matches, comparisons = schema.matches.c, schema.comparisons.c
    found = []
    for unit, response, q in ((8, 2.0 * scale, 0.01), (9, -0.1 * scale, 0.8)):
        best = (
            sa.select(matches.neighbour, matches.correlation)
            .join(schema.comparisons, comparisons.id == matches.comparison_id)
            .where(comparisons.probe_set_id == faces, comparisons.model_id == model[zoo.GAN])
            .where(comparisons.neighbour_model_id == model[zoo.NET], matches.unit == unit, matches.rank == 1)
        )
        neighbour, r = conn.execute(best).one()
        key = {"intervention_id": intervention, "unit": unit}
        pixels = {"inside": 0.4, "outside": 0.1, "control_inside": 0.2, "control_outside": 0.2, "controls": 100}
        conn.execute(schema.unit_effects.insert().values(**key, **pixels))
        caused = {"effect": response / 4, "control_effect": 0.1, "response": response, "z": 9.0, "q_value": q}
        caused |= {"mean_change": -0.5, "size": 1.0, "control_size": 0.25}
        conn.execute(schema.effects.insert().values(**key, neighbour=neighbour, correlation=r, **caused))
        found.append((unit, neighbour))
    return found
