"""Rows for tests: a small zoo, mined, with matches whose ranks are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from service.database import schema
from service.database.copy import copy_records

MATCH = np.dtype(
    [
        ("comparison_id", "i4"),
        ("unit", "i4"),
        ("rank", "i2"),
        ("neighbour", "i4"),
        ("correlation", "f4"),
        ("reciprocal_rank", "i2"),
        ("q_value", "f4"),
    ]
)


class Pair(NamedTuple):
    """Both comparisons of two models."""

    there: int
    back: int


def insert(connection: sa.Connection, table: sa.Table, **values: object) -> int:
    return connection.execute(table.insert().values(**values).returning(table.c.id)).scalar_one()


def add_model(connection: sa.Connection, name: str, units: int, layers: int = 2) -> int:
    """A model of `layers` equal layers."""
    model = insert(
        connection,
        schema.models,
        name=name,
        family="test",
        source=f"test:{name}",
        weights_digest=f"digest of {name}",
        is_generator=False,
        units=units,
    )
    channels = units // layers
    for position in range(layers):
        layer = insert(
            connection,
            schema.layers,
            model_id=model,
            position=position,
            name=f"block.{position}",
            channels=channels,
            height=8,
            width=8,
            first_unit=position * channels,
        )
        numbers = np.arange(channels)
        rows = np.zeros(channels, [("model_id", "i4"), ("number", "i4"), ("layer_id", "i4"), ("channel", "i4")])
        rows["model_id"], rows["layer_id"] = model, layer
        rows["number"], rows["channel"] = numbers + position * channels, numbers
        copy_records(connection, schema.units, rows)
    return model


def add_probe_set(connection: sa.Connection, name: str) -> int:
    return insert(
        connection,
        schema.probe_sets,
        name=name,
        digest=f"digest of {name}",
        kind="images",
        count=10,
        height=64,
        width=64,
    )


def add_profile(connection: sa.Connection, probe_set: int, model: int, units: int, dead: tuple[int, ...] = ()) -> None:
    connection.execute(
        schema.profiles.insert().values(probe_set_id=probe_set, model_id=model, dead_units=len(dead), code_version="1")
    )
    rows = np.zeros(
        units,
        [(name, "i4") for name in ("probe_set_id", "model_id", "unit")]
        + [(name, "f4") for name in ("mean", "std", "minimum", "maximum")]
        + [("dead", "?")],
    )
    rows["probe_set_id"], rows["model_id"], rows["unit"] = probe_set, model, np.arange(units)
    rows["dead"][list(dead)] = True
    copy_records(connection, schema.unit_statistics, rows)


def add_pair(
    connection: sa.Connection,
    probe_set: int,
    model: int,
    other: int,
    units: int,
    buddies: int,
    keep: int = 3,
    q_values: tuple[float, float] = (0.01, 0.02),
) -> Pair:
    """Compares two models of `units` units: the first `buddies` units are best buddies of the same number."""
    pair = Pair(
        *(
            insert(
                connection,
                schema.comparisons,
                probe_set_id=probe_set,
                model_id=first,
                neighbour_model_id=second,
                keep=keep,
                permutations=1,
                best_buddies=buddies,
                significant_best_buddies=buddies,
                chance_best_buddies=0.5,
                code_version="1",
            )
            for first, second in ((model, other), (other, model))
        )
    )
    for comparison, sign, q_value in ((pair.there, 1, q_values[0]), (pair.back, -1, q_values[1])):
        rows = np.zeros(units * keep, MATCH)
        rows["comparison_id"] = comparison
        rows["unit"] = np.repeat(np.arange(units), keep)
        rows["rank"] = np.tile(np.arange(1, keep + 1), units)
        rows["neighbour"] = (rows["unit"] + sign * (rows["rank"] - 1)) % units
        rows["correlation"] = 1 / (rows["rank"] + 1)
        rows["reciprocal_rank"] = rows["rank"]
        rows["reciprocal_rank"][(rows["rank"] == 1) & (rows["unit"] >= buddies)] = 0
        rows["q_value"] = q_value
        copy_records(connection, schema.matches, rows)
    return pair
