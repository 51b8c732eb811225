from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa

from rosetta.errors import InvalidRequest, NotFound
from service.database import schema, sketches
from service.database.copy import copy_records
from tests.integration.database import rows

RECORD = np.dtype(
    [("probe_set_id", "i4"), ("model_id", "i4"), ("unit", "i4"), ("sketch", "f2", (sketches.SKETCH_DIMENSIONS,))]
)
UNITS = 2000
MODELS = 5


def clustered(count: int, clusters: int, seed: int) -> np.ndarray:
    """Unit vectors round `clusters` centres, as sketches of networks that share concepts are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, sketches.SKETCH_DIMENSIONS))
    vectors = centres[random.integers(0, clusters, count)] + 0.6 * random.normal(
        size=(count, sketches.SKETCH_DIMENSIONS)
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def load(connection: sa.Connection, probe_set: int, model: int, vectors: np.ndarray, first: int = 0) -> None:
    records = np.zeros(len(vectors), RECORD)
    records["probe_set_id"], records["model_id"] = probe_set, model
    records["unit"], records["sketch"] = np.arange(first, first + len(vectors)), vectors
    copy_records(connection, schema.sketches, records)


def add_probe_set(connection: sa.Connection, name: str, *models: int) -> int:
    probe_set = rows.add_probe_set(connection, name)
    for model in models:
        rows.add_profile(connection, probe_set, model, 2)
    return probe_set


def has_index(connection: sa.Connection, probe_set: int) -> bool:
    return sketches._exists(connection, sketches._index(probe_set))


@pytest.fixture(scope="module")
def zoo(engine):
    """Five models' sketches of a probe set with an index: (probe set, model ids, vectors [models, units, D])."""
    vectors = clustered(MODELS * UNITS, 300, seed=1).reshape(MODELS, UNITS, -1)
    with engine.begin() as connection:
        models = [rows.add_model(connection, f"model-{number}", 2) for number in range(MODELS)]
        probe_set = add_probe_set(connection, "faces", *models)
        sketches.ensure_partition(connection, probe_set)
        for model, of_model in zip(models, vectors, strict=True):
            load(connection, probe_set, model, of_model)
    sketches.build_index(engine, probe_set)
    return probe_set, models, vectors


def exactly(zoo, query: np.ndarray, models: list[int], top: int) -> list[tuple[int, int]]:
    _, ids, vectors = zoo
    of = np.concatenate([vectors[ids.index(model)] for model in models]).astype(np.float64)
    similarity = of @ query / np.linalg.norm(of, axis=1) / np.linalg.norm(query)
    order = np.argsort(-similarity, kind="stable")[:top]
    return [(models[place // UNITS], int(place % UNITS)) for place in order]


def test_a_question_about_one_model_is_exact(engine, zoo):
    probe_set, models, vectors = zoo
    with engine.connect() as connection:
        for unit in range(0, UNITS, 200):
            found = sketches.nearest(connection, probe_set, (models[0], unit), model_ids=[models[3]], top=10)
            assert [one[:2] for one in found] == exactly(zoo, vectors[0, unit].astype(float), [models[3]], 10)
            assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)


def test_similarity_is_the_cosine(engine, zoo):
    probe_set, models, vectors = zoo
    query = vectors[2, 17].astype(np.float32)
    with engine.connect() as connection:
        (best,) = sketches.nearest(connection, probe_set, query, model_ids=models, top=1)
        assert best[:2] == (models[2], 17)
        assert best.similarity == pytest.approx(1, abs=1e-3)
        (best,) = sketches.nearest(connection, probe_set, (models[2], 17), model_ids=[models[1]], top=1)
        true = np.dot(query, vectors[1, best.unit].astype(np.float32))
        assert best.similarity == pytest.approx(true, abs=2e-3)


def test_the_index_is_used_and_finds_what_a_scan_finds(engine, zoo):
    probe_set, models, vectors = zoo
    hits = 0
    with engine.connect() as connection:
        for unit in range(50):
            query = vectors[unit % MODELS, unit].astype(np.float64)
            found = sketches.nearest(connection, probe_set, query, top=10)
            hits += len({one[:2] for one in found} & set(exactly(zoo, query, models, 10)))
        used = sa.text("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = :name")
        connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        assert connection.scalar(used, {"name": sketches._index(probe_set)}) == 50
    assert hits / 500 >= 0.95


def test_a_unit_finds_other_models(engine, zoo):
    probe_set, models, _ = zoo
    with engine.connect() as connection:
        found = sketches.nearest(connection, probe_set, (models[1], 5), top=50)
        assert len(found) == 50  # though a fifth of the nearest are its own model's
        assert models[1] not in {one.model_id for one in found}
        own = sketches.nearest(connection, probe_set, (models[1], 5), model_ids=[models[1]], top=5)
        assert (models[1], 5) not in {one[:2] for one in own}


def test_what_has_no_sketch_is_not_found(engine, zoo):
    probe_set, models, _ = zoo
    with engine.connect() as connection:
        with pytest.raises(NotFound, match="dead"):
            sketches.nearest(connection, probe_set, (models[0], UNITS))
        with pytest.raises(InvalidRequest, match=r"shape \[512\], got \[256\]"):
            sketches.nearest(connection, probe_set, np.ones(256))
        assert sketches.nearest(connection, 10**6, np.ones(512)) == []
        assert sketches.nearest(connection, probe_set, np.ones(512), model_ids=[]) == []


def test_probe_sets_do_not_mix(engine, zoo):
    _, models, vectors = zoo
    with engine.begin() as connection:
        probe_set = add_probe_set(connection, "other", models[0])
        sketches.ensure_partition(connection, probe_set)
        load(connection, probe_set, models[0], vectors[0, :3])
        found = sketches.nearest(connection, probe_set, vectors[0, 0].astype(float), top=10)
    assert {one[:2] for one in found} == {(models[0], unit) for unit in range(3)}


def test_without_a_partition_nothing_is_stored(engine, zoo):
    _, models, vectors = zoo
    with engine.connect() as connection:
        probe_set = add_probe_set(connection, "none", models[0])
        with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
            load(connection, probe_set, models[0], vectors[0, :1])


def test_a_profile_takes_its_sketches_with_it(engine, zoo):
    _, models, vectors = zoo
    with engine.begin() as connection:
        probe_set = add_probe_set(connection, "gone", models[0])
        sketches.ensure_partition(connection, probe_set)
        load(connection, probe_set, models[0], vectors[0, :3])
        connection.execute(schema.profiles.delete().where(schema.profiles.c.probe_set_id == probe_set))
        count = sa.select(sa.func.count()).where(schema.sketches.c.probe_set_id == probe_set)
        assert connection.scalar(count) == 0
        sketches.drop_partition(connection, probe_set)
        sketches.drop_partition(connection, probe_set)
        connection.execute(schema.probe_sets.delete().where(schema.probe_sets.c.id == probe_set))


def test_partitions_are_made_once_by_many(engine):
    with engine.begin() as connection:
        probe_sets = [rows.add_probe_set(connection, f"race-{number}") for number in range(3)]

    def make(probe_set: int) -> None:
        with engine.begin() as connection:
            sketches.ensure_partition(connection, probe_set)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make, probe_sets * 4))
    with engine.connect() as connection:
        assert all(sketches._exists(connection, sketches._partition(probe_set)) for probe_set in probe_sets)


def test_readers_go_on_while_a_partition_is_made(engine, zoo):
    probe_set, models, _ = zoo
    with engine.begin() as maker:
        fresh = rows.add_probe_set(maker, "fresh")
        sketches.ensure_partition(maker, fresh)
        with engine.connect() as reader:
            reader.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            assert sketches.nearest(reader, probe_set, (models[0], 0), top=3)


def test_the_index_goes_before_a_large_load_and_stays_for_a_small_one(engine):
    vectors = clustered(100, 5, seed=2)
    with engine.begin() as connection:
        models = [rows.add_model(connection, f"loaded-{number}", 2) for number in range(3)]
        probe_set = add_probe_set(connection, "loads", *models)
        sketches.ensure_partition(connection, probe_set)
        assert sketches.drop_index_before_load(connection, probe_set, 88)  # there is none
        load(connection, probe_set, models[0], vectors[:80])
    for _ in range(2):
        sketches.build_index(engine, probe_set)  # twice is once
    with engine.begin() as connection:
        assert has_index(connection, probe_set)
        assert not sketches.drop_index_before_load(connection, probe_set, 10)  # 10 of 80: an eighth
        assert has_index(connection, probe_set)
        assert sketches.drop_index_before_load(connection, probe_set, 11)
        assert not has_index(connection, probe_set)
        load(connection, probe_set, models[1], vectors[80:91])
    sketches.build_index(engine, probe_set)
    with engine.connect() as connection:
        assert has_index(connection, probe_set)


def test_the_index_is_built_without_workers_where_shared_memory_is_short(engine, monkeypatch):
    with engine.begin() as connection:
        probe_set = rows.add_probe_set(connection, "short of memory")
        sketches.ensure_partition(connection, probe_set)
    build, tried = sketches._build, []

    def short(engine: sa.Engine, probe_set_id: int, *, parallel: bool) -> None:
        tried.append(parallel)
        if parallel:
            with engine.connect() as connection:
                connection.execute(sa.text("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$"))
        build(engine, probe_set_id, parallel=parallel)

    monkeypatch.setattr(sketches, "_build", short)
    sketches.build_index(engine, probe_set)
    assert tried == [True, False]
    with engine.connect() as connection:
        assert has_index(connection, probe_set)
