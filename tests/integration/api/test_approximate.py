"""Approximate matches over HTTP, and the jobs that make them exact: what is found, and a clear word when nothing is."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest
from service.broker import make_celery
from service.database import schema
from service.database.copy import copy_records
from service.queries.approximate import find_approximate
from service.submit_correlate import LARGEST_TOP, submit_correlate
from tests.integration.api import zoo
from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT

LATE, TWIN = "late-net", "late-twin"  # registered late: sketched, never compared
UNITS = 15


def sketch(conn: sa.Connection, probe_set: int, model: int, vectors: np.ndarray, dead: tuple[int, ...] = ()) -> None:
    """Gives the model these sketches in place of random ones."""
    zoo.add_profile(conn, probe_set, model, len(vectors), dead)
    conn.execute(sa.delete(schema.sketches).where(schema.sketches.c.model_id == model))
    keys = [(name, "i4") for name in ("probe_set_id", "model_id", "unit")]
    live = np.setdiff1d(np.arange(len(vectors)), dead)
    rows = np.zeros(len(live), [*keys, ("sketch", "f2", schema.SKETCH_DIMENSIONS)])
    rows["probe_set_id"], rows["model_id"], rows["unit"] = probe_set, model, live
    rows["sketch"] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[live]
    copy_records(conn, schema.sketches, rows)


@pytest.fixture(scope="module")
def cosines(engine, correlations):
    """Cosine of every unit of the late net with those of its twin and of the GAN, by model, [UNITS, units]."""
    rng = np.random.default_rng(3)
    drawn = rng.normal(size=(UNITS, schema.SKETCH_DIMENSIONS))
    twins = drawn[::-1] + rng.normal(size=drawn.shape) * np.linspace(0.3, 3, UNITS)[:, None]
    with engine.begin() as conn:
        faces = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
        for name, vectors, dead in ((LATE, drawn, ()), (TWIN, twins, (2,))):
            model = zoo.add_model(conn, name, [("a", 5), ("b", UNITS - 5)], family="late")
            sketch(conn, faces, model, vectors, dead)
        stored = {
            name: np.array(
                conn.execute(
                    sa.select(schema.sketches.c.sketch)
                    .join(schema.models, schema.models.c.id == schema.sketches.c.model_id)
                    .where(schema.models.c.name == name, schema.sketches.c.probe_set_id == faces)
                    .order_by(schema.sketches.c.unit)
                )
                .scalars()
                .all(),
                dtype=np.float64,
            )
            for name in (LATE, TWIN, GAN)
        }
    for vectors in stored.values():
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = {name: stored[LATE] @ stored[name].T for name in (TWIN, GAN)}
    for name, dead in ((TWIN, 2), (GAN, DEAD)):
        found[name] = np.insert(found[name], dead, -2, axis=1)  # a dead unit has no sketch
    return found


@pytest.fixture
def get(http, cosines):
    def run(path, status=200, **params):
        response = http.get(f"/v1{path}", params=params)
        assert response.status_code == status, response.text
        return response.json()

    return run


@pytest.fixture
def refused(get):
    def run(path, status, **params):
        error = get(path, status, **params)["error"]
        assert "\n" not in error["message"]
        return error["message"]

    return run


@pytest.fixture
def correlate(http, cosines):
    def run(status=202, **body):
        response = http.post("/v1/correlate", json=body)
        assert response.status_code == status, response.text
        return response.json() if status == 202 else response.json()["error"]["message"]

    return run


@pytest.mark.parametrize("unit", [0, 7, 14])
@pytest.mark.parametrize("other", [TWIN, GAN])
def test_the_nearest_sketches_by_their_cosine(get, cosines, unit, other):
    rows = get(f"/models/{LATE}/units/{unit}/matches", **{"in": other, "approximate": "true", "top": 4})["items"]
    best = np.argsort(-cosines[other][unit])[:4]
    assert [row["neighbour_unit"] for row in rows] == best.tolist()
    assert [row["correlation"] for row in rows] == pytest.approx(cosines[other][unit][best].tolist(), abs=1e-6)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert (row["approximate"], row["reciprocal_rank"], row["q_value"], row["is_best_buddy"]) == (
            True, None, None, False
        )  # fmt: skip
        assert (row["probe_set"], row["model"], row["neighbour_model"]) == ("faces", LATE, other)
        assert (row["layer"], row["channel"]) == (("a", unit) if unit < 5 else ("b", unit - 5))
        layers = {GAN: ("main.2", "main.8", 8), TWIN: ("a", "b", 5)}[other]
        first = row["neighbour_unit"] < layers[2]
        assert row["neighbour_layer"] == layers[not first]
        assert row["neighbour_channel"] == row["neighbour_unit"] - (0 if first else layers[2])


def test_exact_matches_say_that_they_are(get):
    rows = get(f"/models/{GAN}/units/3/matches", top=1)["items"]
    assert {row["approximate"] for row in rows} == {False}
    assert len(rows) == 4


def test_in_each_model_so_many_and_never_its_own(get):
    rows = get(f"/models/{LATE}/units/3/matches", approximate="true", top=2)["items"]
    expected = sorted([TWIN, GAN, NET, CLIP, VIT, AGE])
    assert [row["neighbour_model"] for row in rows] == [name for name in expected for _ in range(2)]
    rows = get(f"/models/{LATE}/units/3/matches", **{"in": "late", "approximate": "true"})["items"]
    assert [row["neighbour_model"] for row in rows] == [TWIN] * 10
    rows = get(f"/models/{LATE}/units/3/matches", **{"in": AGE, "approximate": "true"})["items"]
    assert len(rows) == 6  # all there are


@pytest.mark.parametrize("limit", [1, 4, 7, 1000])
def test_pages_lose_and_repeat_nothing(get, limit):
    path = f"/models/{LATE}/units/4/matches"
    everything = get(path, approximate="true", top=5)["items"]
    assert len(everything) == 30
    seen, cursor, pages = [], None, 0
    while True:
        page = get(path, approximate="true", top=5, limit=limit, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= limit
        seen, pages = seen + page["items"], pages + 1
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == everything
    assert pages == -(-30 // limit)
    assert get(path, 422, approximate="true", cursor="x")["error"]["code"] == "invalid_request"


def test_best_buddies_are_exact(refused):
    message = refused(f"/models/{LATE}/units/3/matches", 422, approximate="true", best_buddies="true")
    assert "best buddies are of exact matches" in message


def test_a_dead_unit_says_so(refused, correlate):
    expected = f"unit 2 (a:2) of {TWIN} is dead on probe set faces: it never changes, so nothing matches it"
    assert refused(f"/models/{TWIN}/units/2/matches", 422, approximate="true") == expected
    assert correlate(422, unit=f"{TWIN}/2") == expected


def test_without_sketches_the_command_that_takes_them(refused, correlate):
    lonely = "lonely was not mined on any probe set yet: `rosetta mine --probe PROBE --models lonely`"
    assert refused("/models/lonely/units/0/matches", 404, approximate="true") == lonely
    assert correlate(404, unit="lonely/0") == lonely
    there = "`rosetta mine --probe faces --models lonely --sketch-only`"
    expected = f"lonely has no sketches on probe set faces yet: {there}"
    assert refused(f"/models/{LATE}/units/0/matches", 404, **{"in": "lonely", "approximate": "true"}) == expected
    assert correlate(404, **{"unit": f"{LATE}/0", "in": "lonely"}) == expected
    on_photos = refused(f"/models/{LATE}/units/0/matches", 404, approximate="true", probe="photos")
    assert on_photos == f"{LATE} was not mined on probe set photos yet: `rosetta mine --probe photos --models {LATE}`"
    assert "not compared with itself" in refused(
        f"/models/{LATE}/units/0/matches", 422, **{"in": LATE, "approximate": "true"}
    )


def test_where_no_other_model_has_sketches(engine, cosines):
    with engine.connect() as conn, conn.begin() as transaction:
        alone = zoo.add_probe(conn, "alone")
        model = conn.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == LATE))
        zoo.add_profile(conn, alone, model, UNITS)
        with pytest.raises(
            Exception, match=r"^no other model has sketches .* `rosetta mine --probe alone --sketch-only`"
        ):
            find_approximate(conn, LATE, UnitReference(number=0), probe="alone")
        transaction.rollback()


@pytest.mark.parametrize("top", [0, -1, 1001, 10**12])
def test_how_many_cannot_be(refused, top):
    assert "between 1 and 1000" in refused(f"/models/{LATE}/units/0/matches", 422, approximate="true", top=top)


def test_unknown_names_are_answered_with_the_nearest(refused):
    for params in ({"in": "efficentnet"}, {"probe": "face"}):
        assert "did you mean" in refused(f"/models/{LATE}/units/3/matches", 404, approximate="true", **params)
    assert "no unit 15" in refused(f"/models/{LATE}/units/15/matches", 404, approximate="true")


def test_match_without_comparisons_mentions_the_estimate_where_there_are_sketches(refused):
    for params in ({}, {"in": GAN}, {"in": "clip"}, {"probe": "faces"}):
        message = refused(f"/models/{LATE}/units/b:2/matches", 404, **params)
        assert f"`; `rosetta match {LATE} 7 --approximate" in message
        assert message.endswith("` estimates from sketches")
    for params in ({"in": "lonely"}, {"probe": "photos"}):
        message = refused(f"/models/{LATE}/units/7/matches", 404, **params)
        assert "rosetta mine" in message
        assert "approximate" not in message


def test_a_job_of_the_candidates(engine, correlate, http, cosines):
    job = correlate(**{"unit": f"{LATE}/b:2", "in": TWIN, "top": 3})
    assert (job["kind"], job["state"], job["already_done"]) == ("correlate", "queued", False)
    assert job["parameters"] == {"probe": "faces", "unit": f"{LATE}/b:2", "models": [LATE, TWIN], "top": 3}
    with engine.connect() as conn:
        payload = conn.scalar(sa.select(schema.job_parts.c.payload).where(schema.job_parts.c.job_id == job["id"]))
        ids = {row.name: row.id for row in conn.execute(sa.select(schema.models.c.name, schema.models.c.id))}
    assert (payload["unit"], payload["images"]) == ([ids[LATE], 7], 100)
    best = np.argsort(-cosines[TWIN][7])[:3]
    assert [candidate[:2] for candidate in payload["candidates"]] == [[ids[TWIN], unit] for unit in best]
    assert [one[2] for one in payload["candidates"]] == pytest.approx(cosines[TWIN][7][best].tolist(), abs=1e-6)
    assert correlate(**{"unit": f"{LATE}/7", "in": "late", "top": 3})["id"] == job["id"]  # it waits still
    assert correlate(**{"unit": f"{LATE}/7", "in": TWIN, "top": 4})["id"] != job["id"]
    blocked = http.delete(f"/v1/models/{TWIN}")
    assert (blocked.status_code, f"job {job['id']} is at work" in blocked.text) == (409, True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"unit": f"{LATE}/0", "top": 0}, "top"),
        ({"unit": f"{LATE}/0", "top": LARGEST_TOP + 1}, "top"),
        ({"unit": LATE}, LATE),
        ({"unit": f"{LATE}/0", "model": TWIN}, "model"),
        ({}, "unit"),
    ],
)
def test_bodies_that_are_refused(correlate, body, message):
    assert message in correlate(422, **body)


def test_so_many_candidates_cannot_be(engine, cosines):
    for top in (0, LARGEST_TOP + 1):
        with pytest.raises(InvalidRequest, match="between 1 and 100"):
            submit_correlate(engine, make_celery("memory://"), model=LATE, unit=UnitReference(number=0), top=top)


def test_where_all_others_are_dead_the_job_is_done_and_finds_nothing(engine, correlate, http):
    with engine.begin() as conn:
        faces = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
        model = zoo.add_model(conn, "still", [("a", 3)], family="still")
        zoo.add_profile(conn, faces, model, 3, dead=[0, 1, 2])
    job = correlate(**{"unit": f"{LATE}/0", "in": "still"})
    assert (job["state"], job["result"], job["parameters"]["models"]) == ("done", {"matches": []}, [LATE])
    page = http.get(f"/v1/models/{LATE}/units/0/matches", params={"in": "still", "approximate": "true"}).json()
    assert page == {"items": [], "next_cursor": None}
