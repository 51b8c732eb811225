from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from service.database import reader, schema
from tests.integration.database import rows

# INTERFACE.md, "SQL": stable names.
COLUMNS = {
    "models": "model family aliases source weights_digest is_generator layers units details created_at recorded_on",
    "layers": "model layer position channels height width first_unit",
    "units": "model unit layer channel address height width",
    "unit_statistics": "probe_set model unit layer channel mean std minimum maximum dead",
    "exemplars": "probe_set model unit layer channel measure rank image file value",
    "probe_sets": "probe_set digest kind images height width generator seed truncation class_index "
    "mined_models created_at",
    "comparisons": "probe_set model neighbour_model keep permutations best_buddies significant_best_buddies "
    "chance_best_buddies probe_set_digest weights_digest neighbour_weights_digest code_version parameters job "
    "created_at",
    "matches": "probe_set model layer unit channel neighbour_model neighbour_layer neighbour_unit "
    "neighbour_channel correlation rank reciprocal_rank q_value is_best_buddy",
    "neuron_pairs": "probe_set model layer unit channel neighbour_model neighbour_layer neighbour_unit "
    "neighbour_channel correlation q_value",
    "sharing_by_layer": "probe_set model layer neighbour_model neighbour_layer best_buddies mean_correlation "
    "live_units share",
    "concepts": "concept probe_set version is_newest models units cohesion stability q_value resolution seed "
    "created_at k",
    "concept_members": "concept probe_set version model layer unit channel strength",
    "unit_maps": "map probe_set version is_newest units n_neighbors min_dist seed code_version job created_at",
    "unit_map_points": "map probe_set version is_newest model layer unit channel x y",
    "translations": "translation kind parent generator probe_set pairs position space correlation psnr ssim lpips "
    "created_at",
    "effects": "probe_set generator layer unit channel neighbour_model neighbour_layer neighbour_unit "
    "neighbour_channel action correlation effect control_effect response z q_value mean_change size control_size "
    "inside outside control_inside control_outside controls latents created_at",
    "directions": "directions generator space layer axis share deviation samples seed created_at",
    "direction_movements": "directions generator axis probe_set model unit concept change z q_value",
    "equivalents": "equivalents probe_set source_model model layer unit channel k pooled pooled_chance maps "
    "maps_chance images held_out unseen created_at",
    "labels": "label kind text author score model layer unit channel concept probe_set created_at",
    "model_pairs": "probe_set model neighbour_model best_buddies significant_best_buddies chance_best_buddies "
    "live_units neighbour_live_units share",
}


@pytest.fixture(scope="module")
def zoo(engine):
    """Models a, b (10 units, 2 layers each): units 0 to 5 are best buddies; unit 9 of a is dead."""
    with engine.begin() as connection:
        a, b = (rows.add_model(connection, name, 10) for name in "ab")
        probe_set = rows.add_probe_set(connection, "faces")
        rows.add_profile(connection, probe_set, a, 10, dead=(9,))
        rows.add_profile(connection, probe_set, b, 10)
        rows.add_pair(connection, probe_set, a, b, 10, buddies=6)
        connection.execute(schema.probe_images.insert().values(probe_set_id=probe_set, position=4, name="x.png"))
        row = {"images_by_maximum": [7, 4], "maxima": [2.0, 1.5], "images_by_mean": [4], "means": [0.5]}
        version = {
            "version": 1,
            "resolution": 0.2,
            "q_value": 0.05,
            "seed": 0,
            "stability_seeds": 10,
            "pairs": 6,
            "k": 3,
        }
        version_id = rows.insert(
            connection, schema.concept_versions, probe_set_id=probe_set, code_version="1", **version
        )
        numbers = {"number": 0, "models": 2, "units": 2, "cohesion": 0.5, "stability": 1.0, "q_value": 0.02}
        concept = rows.insert(connection, schema.concepts, version_id=version_id, **numbers)
        for model in (a, b):
            connection.execute(
                schema.concept_members.insert().values(concept_id=concept, model_id=model, unit=0, strength=0.5)
            )
        connection.execute(schema.exemplars.insert().values(probe_set_id=probe_set, model_id=a, unit=6, **row))
        numbers = {"version": 1, "units": 1, "n_neighbors": 15, "min_dist": 0.1, "seed": 0, "code_version": "1"}
        map_id = rows.insert(connection, schema.unit_maps, probe_set_id=probe_set, **numbers)
        connection.execute(schema.unit_map_points.insert().values(map_id=map_id, model_id=a, unit=6, x=0.5, y=-0.5))
        connection.execute(schema.labels.insert().values(kind="person", model_id=a, unit=6, text="hair", author="ada"))
        numbers = {"action": "zero", "latents": 64, "seed": 1, "code_version": "1"}
        intervention = rows.insert(
            connection,
            schema.interventions,
            probe_set_id=probe_set,
            generator_id=a,
            neighbour_model_id=b,
            **numbers,
        )
        unit = {"intervention_id": intervention, "unit": 0}
        connection.execute(schema.unit_effects.insert().values(**unit, inside=0.3, outside=0.1, controls=9))
        connection.execute(schema.effects.insert().values(**unit, neighbour=0, correlation=0.5, effect=0.4))
        numbers = {"space": "z", "samples": 9, "seed": 0, "latents": 1, "controls": 1, "code_version": "1"}
        numbers |= {"shares": [0.5, 0.25], "deviations": [1.0, 1.0], "steps": bytes(16)}
        found = rows.insert(connection, schema.directions, generator_id=a, probe_set_id=probe_set, **numbers)
        moved = {"directions_id": found, "axis": 1, "model_id": b, "unit": 3, "change": 0.5, "z": 9.0, "q_value": 0.01}
        connection.execute(schema.direction_movements.insert().values(**moved))
        numbers = {"k": 1, "ridge": 0.01, "images": 8, "held_out": 4, "unseen": True, "seed": 1, "digest": "d"}
        by_unit = {name: [0.5, float("nan")] for name in ("pooled_by_unit", "maps_by_unit")}
        by_unit |= {f"{name}_chance": values for name, values in by_unit.items()}
        models = {"source_model_id": a, "target_model_id": b, "code_version": "1", "units": [0, 1]}
        connection.execute(schema.equivalents.insert().values(probe_set_id=probe_set, **models, **numbers, **by_unit))
        made = {"kind": "inversion", "recipe": {}, "images": 1, "pairs": 6, "code_version": "1"}
        made_id = rows.insert(connection, schema.translations, generator_id=a, probe_set_id=probe_set, **made)
        image = {"reference": {}, "target": b"", "picture": b"", "space": "z", "latent": b"", "shape": [0], "start": 0}
        image |= {"position": 0, "metrics": {"correlation": 0.7, "psnr": 18.5, "ssim": 0.5}, "losses": [1.0, 0.3]}
        connection.execute(schema.translation_images.insert().values(translation_id=made_id, **image))


@pytest.fixture
def ask(engine, database_url, zoo):
    def run(statement: str) -> list[dict]:
        with reader.connect(database_url) as connection:
            cursor = connection.execute(statement)
            return [dict(zip([column.name for column in cursor.description], row, strict=True)) for row in cursor]

    return run


def test_views_and_columns_are_the_contract(engine):
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position) "
                "FROM information_schema.columns WHERE table_schema = 'analytics' GROUP BY 1"
            )
        )
        assert dict(found.all()) == COLUMNS


def test_every_view_and_column_has_a_comment(engine):
    with engine.connect() as connection:
        silent = connection.execute(
            sa.text(
                "SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a "
                "ON a.attrelid = c.oid AND a.attnum > 0 "
                "WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v' "
                "AND (obj_description(c.oid) IS NULL OR col_description(c.oid, a.attnum) IS NULL)"
            )
        ).all()
        assert silent == []


@pytest.mark.parametrize("view", COLUMNS)
def test_the_reader_reads_every_view(ask, view):
    assert ask(f"SELECT * FROM analytics.{view} LIMIT 1")


def test_translations_have_their_numbers(ask):
    numbers = ask("SELECT correlation, psnr, ssim, lpips FROM analytics.translations")
    assert numbers == [{"correlation": 0.7, "psnr": 18.5, "ssim": 0.5, "lpips": None}]


def test_matches_speak_in_names(ask):
    found = ask("SELECT * FROM analytics.matches WHERE model = 'a' AND unit = 7 ORDER BY rank")
    assert [row["rank"] for row in found] == [1, 2, 3]
    assert found[0] == {
        "probe_set": "faces",
        "model": "a",
        "layer": "block.1",
        "unit": 7,
        "channel": 2,
        "neighbour_model": "b",
        "neighbour_layer": "block.1",
        "neighbour_unit": 7,
        "neighbour_channel": 2,
        "correlation": 0.5,
        "rank": 1,
        "reciprocal_rank": None,  # stored as 0: beyond those kept
        "q_value": pytest.approx(0.01),
        "is_best_buddy": False,
    }
    assert ask("SELECT is_best_buddy FROM analytics.matches WHERE model = 'b' AND unit = 3 AND rank = 1") == [
        {"is_best_buddy": True}
    ]


def test_best_buddies_come_once(ask):
    found = ask("SELECT * FROM analytics.neuron_pairs ORDER BY unit")
    assert [(row["model"], row["unit"], row["neighbour_model"], row["neighbour_unit"]) for row in found] == [
        ("a", unit, "b", unit) for unit in range(6)
    ]
    assert {round(row["q_value"], 6) for row in found} == {0.02}  # the greater of 0.01 and 0.02


def test_exemplars_are_rows(ask):
    found = ask("SELECT layer, channel, measure, rank, image, file, value FROM analytics.exemplars ORDER BY 3, 4")
    assert [tuple(row.values()) for row in found] == [
        ("block.1", 1, "maximum", 1, 7, None, 2.0),
        ("block.1", 1, "maximum", 2, 4, "x.png", 1.5),
        ("block.1", 1, "mean", 1, 4, "x.png", 0.5),
    ]


def test_sharing_by_layer_counts_live_units(ask):
    found = ask("SELECT * FROM analytics.sharing_by_layer ORDER BY model, layer")
    assert [(row["model"], row["layer"], row["neighbour_layer"]) for row in found] == [
        ("a", "block.0", "block.0"),
        ("a", "block.1", "block.1"),
        ("b", "block.0", "block.0"),
        ("b", "block.1", "block.1"),
    ]
    assert [(row["best_buddies"], row["live_units"], row["share"]) for row in found] == [
        (5, 5, 1.0),
        (1, 4, 0.25),
        (5, 5, 1.0),
        (1, 5, 0.2),
    ]
    assert {row["mean_correlation"] for row in found} == {0.5}


def test_model_pairs_come_once(ask):
    assert ask("SELECT * FROM analytics.model_pairs") == [
        {
            "probe_set": "faces",
            "model": "a",
            "neighbour_model": "b",
            "best_buddies": 6,
            "significant_best_buddies": 6,
            "chance_best_buddies": 0.5,
            "live_units": 9,
            "neighbour_live_units": 10,
            "share": pytest.approx(6 / 9),
        }
    ]


def test_the_rest_speaks_in_names_too(ask):
    assert ask("SELECT address FROM analytics.units WHERE model = 'b' AND unit = 7") == [{"address": "b/block.1:2"}]
    assert ask("SELECT mined_models, images FROM analytics.probe_sets") == [{"mined_models": ["a", "b"], "images": 10}]
    assert ask("SELECT unit FROM analytics.unit_statistics WHERE dead") == [{"unit": 9}]
    assert ask("SELECT model, layers, units FROM analytics.models ORDER BY model") == [
        {"model": name, "layers": 2, "units": 10} for name in "ab"
    ]
    assert [row["neighbour_weights_digest"] for row in ask("SELECT * FROM comparisons ORDER BY model")] == [
        "digest of b",
        "digest of a",
    ]


@pytest.fixture(scope="module")
def many(engine, zoo):
    """240,000 matches: 4 models of 2,000 units, each unit with 10 neighbours in each other model."""
    with engine.begin() as connection:
        probe_set = rows.add_probe_set(connection, "many")
        models = [rows.add_model(connection, f"large-{number}", 2000, layers=8) for number in range(4)]
        for model in models:
            rows.add_profile(connection, probe_set, model, 2000)
        for place, model in enumerate(models):
            for other in models[place + 1 :]:
                rows.add_pair(connection, probe_set, model, other, 2000, buddies=500, keep=10)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


QUESTIONS = {
    "of a unit": "SELECT * FROM analytics.matches WHERE model = 'large-1' AND unit = 813",
    "in one model": "SELECT * FROM analytics.matches WHERE probe_set = 'many' AND model = 'large-1' "
    "AND unit = 813 AND neighbour_model = 'large-2' ORDER BY rank LIMIT 5",
    "by channel": "SELECT * FROM analytics.matches WHERE model = 'large-1' AND layer = 'block.3' AND channel = 5",
    "joined": "SELECT * FROM analytics.matches JOIN analytics.units USING (model, unit) "
    "WHERE model = 'large-1' AND unit = 813",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_about_a_unit_scan_indexes(database_url, many, question):
    with reader.connect(database_url) as connection:
        (plan,) = connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {QUESTIONS[question]}").fetchone()
        assert connection.execute(QUESTIONS[question]).fetchone()
    scans = {}

    def walk(node):
        if node.get("Relation Name") in ("matches", "units", "comparisons"):
            scans.setdefault(node["Relation Name"], set()).add(node["Node Type"])
        for child in node.get("Plans", []):
            walk(child)

    walk(plan[0]["Plan"])
    assert "Seq Scan" not in scans["matches"] | scans["units"], scans
    assert plan[0]["Plan"]["Actual Total Time"] < 100  # ms; a scan of all matches takes longer


def test_look_ups_that_nobody_asks_for_are_not_made(database_url, many):
    with reader.connect(database_url) as connection:
        plan = connection.execute("EXPLAIN SELECT avg(correlation) FROM analytics.matches").fetchall()
    assert "units" not in str(plan)
    assert "layers" not in str(plan)


def test_nan_is_null(engine, database_url):
    with engine.begin() as connection:
        a, b = (rows.add_model(connection, name, 2) for name in ("nan-a", "nan-b"))
        probe_set = rows.add_probe_set(connection, "nan")
        rows.add_pair(connection, probe_set, a, b, 2, 2, keep=1, q_values=(np.nan, np.nan))
        connection.execute(schema.comparisons.update().values(chance_best_buddies=np.nan))
    with reader.connect(database_url) as connection:
        for view, column in (
            ("matches", "q_value"),
            ("neuron_pairs", "q_value"),
            ("model_pairs", "chance_best_buddies"),
            ("comparisons", "chance_best_buddies"),
        ):
            found = connection.execute(f"SELECT {column} FROM analytics.{view} WHERE probe_set = 'nan'").fetchall()
            assert set(found) == {(None,)}


def test_what_is_dead_on_held_out_images_has_no_share(ask):
    rows = ask("SELECT unit, pooled, maps_chance FROM analytics.equivalents ORDER BY unit")
    assert [(row["unit"], row["pooled"], row["maps_chance"]) for row in rows] == [(0, 0.5, 0.5), (1, None, None)]
