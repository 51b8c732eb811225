"""A zoo in the database, mined on paper: models, units, and the matches of given correlations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from service.database import schema, sketches
from service.database.copy import copy_records

LATENTS = {"latents": {"dimensions": 100, "height": 64, "width": 64, "classes": None}}


def insert(conn: sa.Connection, table: sa.Table, **values: object) -> int:
    return conn.execute(table.insert().values(**values).returning(table.c.id)).scalar_one()


def add_model(
    conn: sa.Connection,
    name: str,
    layers: Sequence[tuple[str, int]],
    *,
    family: str,
    aliases: Sequence[str] = (),
    generator: bool = False,
) -> int:
    """A model of these layers, (name, channels), with 8x8 grids."""
    model = insert(
        conn,
        schema.models,
        name=name,
        family=family,
        aliases=list(aliases),
        source=f"demo:{name}",
        weights_digest=f"{name}".encode().hex().ljust(64, "0")[:64],
        is_generator=generator,
        units=sum(channels for _, channels in layers),
        details=LATENTS if generator else {},
    )
    first = 0
    for position, (layer, channels) in enumerate(layers):
        layer_id = insert(
            conn,
            schema.layers,
            model_id=model,
            position=position,
            name=layer,
            channels=channels,
            height=8,
            width=8,
            first_unit=first,
        )
        rows = np.zeros(channels, [("model_id", "i4"), ("number", "i4"), ("layer_id", "i4"), ("channel", "i4")])
        rows["model_id"], rows["layer_id"] = model, layer_id
        rows["number"], rows["channel"] = np.arange(channels) + first, np.arange(channels)
        copy_records(conn, schema.units, rows)
        first += channels
    return model


def add_probe(conn: sa.Connection, name: str, generator: int | None = None) -> int:
    kind = {"kind": "images"} if generator is None else {"kind": "generator", "generator_id": generator, "seed": 0}
    return insert(conn, schema.probe_sets, name=name, digest=f"digest {name}", count=100, height=64, width=64, **kind)


def add_profile(conn: sa.Connection, probe_set: int, model: int, units: int, dead: Sequence[int] = ()) -> None:
    """Statistics of every unit, and random sketches of the live ones."""
    conn.execute(
        schema.profiles.insert().values(probe_set_id=probe_set, model_id=model, dead_units=len(dead), code_version="1")
    )
    keys = [(name, "i4") for name in ("probe_set_id", "model_id", "unit")]
    numbers = [(name, "f4") for name in ("mean", "std", "minimum", "maximum")]
    rows = np.zeros(units, [*keys, *numbers, ("dead", "?")])
    rows["probe_set_id"], rows["model_id"], rows["unit"], rows["std"] = probe_set, model, np.arange(units), 1
    rows["dead"][list(dead)] = True
    copy_records(conn, schema.unit_statistics, rows)
    sketches.ensure_partition(conn, probe_set)
    live = np.setdiff1d(np.arange(units), dead)
    vectors = np.zeros(len(live), [*keys, ("sketch", "f2", schema.SKETCH_DIMENSIONS)])
    vectors["probe_set_id"], vectors["model_id"], vectors["unit"] = probe_set, model, live
    drawn = np.random.default_rng(7).normal(size=(units, schema.SKETCH_DIMENSIONS))[live]
    vectors["sketch"] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    copy_records(conn, schema.sketches, vectors)


def add_pair(
    conn: sa.Connection, probe_set: int, model: int, other: int, r: np.ndarray, *, keep: int = 3, q: float = 0.0001
) -> None:
    """Both comparisons of two models whose units correlate as `r` [A, B] says; a dead unit's row or column is NaN."""
    there, back = r, r.T
    buddies = sum(
        1 for unit, row in enumerate(there) if not np.isnan(row).all() and np.nanargmax(back[np.nanargmax(row)]) == unit
    )
    for first, second, table in ((model, other, there), (other, model, back)):
        comparison = insert(
            conn,
            schema.comparisons,
            probe_set_id=probe_set,
            model_id=first,
            neighbour_model_id=second,
            keep=keep,
            permutations=1,
            best_buddies=buddies,
            significant_best_buddies=buddies if q < 0.05 else 0,
            chance_best_buddies=1.5,
            code_version="1",
        )
        copy_records(conn, schema.matches, _matches(comparison, table, keep, q))


def _matches(comparison: int, r: np.ndarray, keep: int, q: float) -> np.ndarray:
    """The rows of `matches` of one comparison."""
    scores = np.where(np.isnan(r), -2, r)
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) + 1
    ranks_back = np.argsort(np.argsort(-scores, axis=0, kind="stable"), axis=0) + 1
    unit, neighbour = np.nonzero((ranks <= keep) & (scores > -2))
    order = np.lexsort((ranks[unit, neighbour], unit))
    unit, neighbour = unit[order], neighbour[order]
    rows = np.zeros(
        len(unit),
        [
            ("comparison_id", "i4"),
            ("unit", "i4"),
            ("rank", "i2"),
            ("neighbour", "i4"),
            ("correlation", "f4"),
            ("reciprocal_rank", "i2"),
            ("q_value", "f4"),
        ],
    )
    rows["comparison_id"], rows["unit"], rows["neighbour"], rows["q_value"] = comparison, unit, neighbour, q
    rows["rank"], rows["correlation"] = ranks[unit, neighbour], r[unit, neighbour]
    back = ranks_back[unit, neighbour]
    rows["reciprocal_rank"] = np.where(back <= keep, back, 0)
    return rows


GAN, NET, CLIP, VIT, AGE = "dcgan-faces", "efficientnet-lite0", "clip-rn50", "clip-vit-b32", "age-net"
DEAD = 12  # unit of the GAN that is dead on probe set faces


def seed(conn: sa.Connection) -> dict[str, np.ndarray]:
    """A small zoo: a GAN, four networks and one never mined. Returns r of the GAN's units on faces by model."""
    rng = np.random.default_rng(0)
    gan = add_model(
        conn, GAN, [("main.2", 8), ("main.8", 6)], family="dcgan", aliases=["face generator"], generator=True
    )
    net = add_model(conn, NET, [("blocks.1", 5), ("blocks.2", 7)], family="efficientnet", aliases=["lite0"])
    clip = add_model(conn, CLIP, [("visual.layer4", 9)], family="clip")
    vit = add_model(conn, VIT, [("visual.transformer.resblocks.3.mlp", 10)], family="clip")
    age = add_model(conn, AGE, [("conv1/Conv", 6)], family="age", aliases=["age and gender"])
    add_model(conn, "lonely", [("fc", 4)], family="lonely")
    faces, photos = add_probe(conn, "faces", generator=gan), add_probe(conn, "photos")
    sizes = {gan: 14, net: 12, clip: 9, vit: 10, age: 6}
    for model, units in sizes.items():
        add_profile(conn, faces, model, units, dead=[DEAD] if model == gan else [])
    for model in (net, clip):
        add_profile(conn, photos, model, sizes[model])
    add_pair(conn, photos, net, clip, rng.uniform(-1, 1, (12, 9)))
    found = {}
    for name, model in ((NET, net), (CLIP, clip), (VIT, vit), (AGE, age)):
        r = rng.uniform(-0.9, 0.9, (14, sizes[model])).astype(np.float32)
        r[DEAD] = np.nan
        add_pair(conn, faces, gan, model, r, q=0.5 if name == AGE else 0.0001)
        found[name] = r
    add_pair(conn, faces, net, clip, rng.uniform(-1, 1, (12, 9)), keep=2)
    add_concepts(conn, faces, [{gan: 8, net: 3, clip: 5}, {gan: 9, net: 4}])
    return found


def add_concepts(conn: sa.Connection, probe_set: int, members: list[dict[int, int]], version: int = 1) -> list[int]:
    """A version of a probe set's concepts, each a unit a model; their ids."""
    numbers = {
        "version": version,
        "resolution": 0.2,
        "q_value": 0.05,
        "seed": 0,
        "stability_seeds": 10,
        "pairs": 4,
        "k": 3,
    }
    version_id = conn.scalar(
        sa.insert(schema.concept_versions)
        .values(probe_set_id=probe_set, code_version="1", **numbers)
        .returning(schema.concept_versions.c.id)
    )
    ids = []
    for number, units in enumerate(members):
        values = {"models": len(units), "units": len(units), "cohesion": 0.5, "stability": 0.9, "q_value": 0.01}
        concept = conn.scalar(
            sa.insert(schema.concepts)
            .values(version_id=version_id, number=number, **values)
            .returning(schema.concepts.c.id)
        )
        rows = [{"concept_id": concept, "model_id": m, "unit": u, "strength": 0.5} for m, u in units.items()]
        conn.execute(sa.insert(schema.concept_members), rows)
        ids.append(concept)
    return ids
