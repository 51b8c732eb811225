"""Lists and single things: models, units, probe sets; making and removing them."""

from __future__ import annotations

import hashlib

import pytest
import sqlalchemy as sa

from tests.integration.api import zoo
from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT

MODELS = sorted([GAN, NET, CLIP, VIT, AGE, "lonely"])


def refused(response, status):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert "\n" not in error["message"]
    return error["message"]


@pytest.mark.parametrize("limit", [1, 2, 50])
@pytest.mark.parametrize(
    ("path", "key"), [("/v1/models", "name"), ("/v1/probes", "name"), (f"/v1/models/{GAN}/units", "number")]
)
def test_pages_lose_and_repeat_nothing(http, path, key, limit):
    everything = [item[key] for item in http.get(path, params={"limit": 1000}).json()["items"]]
    seen, cursor = [], None
    while True:
        page = http.get(path, params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= limit
        seen += [item[key] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == everything == sorted(set(seen))


def test_models(http):
    items = http.get("/v1/models").json()["items"]
    assert [model["name"] for model in items] == MODELS
    assert all(model["layers"] == [] for model in items)
    assert [model["name"] for model in http.get("/v1/models?family=clip").json()["items"]] == [CLIP, VIT]
    model = http.get(f"/v1/models/{GAN}").json()
    assert [(layer["name"], layer["channels"], layer["first_unit"]) for layer in model["layers"]] == [
        ("main.2", 8, 0),
        ("main.8", 6, 8),
    ]


def test_units(http):
    unit = http.get(f"/v1/models/{GAN}/units/{DEAD}").json()
    assert unit["address"] == f"{GAN}/main.8:4"
    assert [(row["probe_set"], row["dead"]) for row in unit["statistics"]] == [("faces", True)]
    assert http.get(f"/v1/models/{GAN}/units/main.8:4").json() == unit
    layer = http.get(f"/v1/models/{GAN}/units?layer=main.8").json()["items"]
    assert [unit["number"] for unit in layer] == [8, 9, 10, 11, 12, 13]
    assert "did you mean" in refused(http.get(f"/v1/models/{GAN}/units?layer=main.9"), 404)


@pytest.mark.parametrize(
    "path",
    ["/v1/models/nobody", "/v1/models/nobody/units", "/v1/models/nobody/units/1", "/v1/probes/nobody", "/v1/jobs/77"],
)
def test_what_is_not_there(http, path):
    refused(http.get(path), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models?limit=0",
        "/v1/models?limit=1001",
        "/v1/probes?cursor=x",
        "/v1/models?famly=clip",
        "/v1/jobs/x",
        "/v1/jobs/99999999999",
        "/v1/models/a%00b",
        "/v1/jobs?state=asleep",
    ],
)
def test_requests_that_cannot_be(http, path):
    refused(http.get(path), 422)


def test_a_misspelt_parameter_is_named(http):
    assert refused(http.get("/v1/models?famly=clip"), 422) == (
        "'famly' is not a parameter of this request; did you mean family?"
    )


def test_a_generator_of_a_probe_set_stays(http):
    assert refused(http.delete(f"/v1/models/{GAN}"), 409) == (
        f"{GAN} generates probe set faces: remove that first with `rosetta probes remove faces`"
    )


def test_a_model_that_a_job_is_at_work_on_stays(http, engine):
    parameters = {"probe": "photos", "models": ["worked-on", NET], "keep": 10}
    with engine.begin() as conn:
        zoo.add_model(conn, "worked-on", [("fc", 2)], family="t")
        job = conn.execute(
            sa.text(
                "INSERT INTO jobs (kind, key, parameters, remaining) VALUES ('mine', 'k', :p, 1) RETURNING id"
            ).bindparams(sa.bindparam("p", parameters, sa.JSON))
        ).scalar_one()
    try:
        assert f"`rosetta jobs cancel {job}`" in refused(http.delete("/v1/models/worked-on"), 409)
        assert f"job {job} mines on photos" in refused(http.delete("/v1/probes/photos"), 409)
    finally:
        http.delete(f"/v1/jobs/{job}")
    assert http.delete("/v1/models/worked-on").status_code == 204
    refused(http.get("/v1/models/worked-on"), 404)


def test_generator_probe_set(http):
    body = {"name": "fakes", "generator": GAN, "count": 20, "seed": 3}
    made = http.post("/v1/probes", json=body)
    assert made.status_code == 200, made.text
    assert (made.json()["count"], made.json()["height"], made.json()["seed"]) == (20, 64, 3)
    assert http.post("/v1/probes", json=body).json() == made.json()
    assert "exists with other images" in refused(http.post("/v1/probes", json=body | {"seed": 4}), 409)
    assert refused(http.post("/v1/probes", json=body | {"name": "others"}), 409) == (
        "these very images are probe set fakes: use that one"
    )
    assert http.delete("/v1/probes/fakes").status_code == 204
    refused(http.get("/v1/probes/fakes"), 404)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"generator": NET}, "efficientnet-lite0 makes no images"),
        ({"generator": "nobody"}, "no model 'nobody'"),
        ({"count": 0}, "1 to 10,000,000 images, not 0"),
        ({"count": None}, "Give a count, such as 100"),
        ({"count": "5"}, "'count': input should be a valid integer"),
        ({"seed": -1}, "seed must be between"),
        ({"truncation": 1.5}, "truncation must be above 0"),
        ({"class_index": 3}, "has no classes"),
        ({"size": 64}, "size goes with images"),
        ({"name": "A/B"}, "is not a name"),
        ({"colour": 1}, "'colour' is not a field"),
        ({"images": []}, "name one of the two"),
        ({"generator": None}, "name one of the two"),
        ({"generator": None, "images": [], "count": None}, "would be empty"),
        ({"generator": None, "images": [{"name": "a", "digest": "b"}]}, "count goes with a generator"),
        ({"generator": None, "count": None, "images": [{"name": "a", "digest": "b"}]}, "is not a sha256"),
        ({"generator": None, "count": None, "images": [{"name": "a", "digest": "0" * 64}]}, "not uploaded, such as a"),
        ({"generator": None, "count": None, "images": [{"name": "a", "digest": "0" * 64}] * 2}, "named twice"),
    ],
)
def test_probe_sets_that_cannot_be(http, change, reason):
    body = {"name": "fakes", "generator": GAN, "count": 20} | change
    response = http.post("/v1/probes", json={key: value for key, value in body.items() if value is not None})
    assert reason in refused(response, 404 if "nobody" in reason else 409 if "very" in reason else 422)
    assert "fakes" not in [probe["name"] for probe in http.get("/v1/probes").json()["items"]]


def test_registering_is_checked_before_it_is_queued(http):
    def register(status, **body):
        return refused(http.post("/v1/models", json={"name": "new", "source": "timm:resnet18", **body}), status)

    assert "there is a model" in register(409, name=GAN)
    assert "is not a name" in register(422, name="No Name")
    assert "'sauce' is not a field" in register(422, sauce=1)
    register(422, source="nothing")
    for path in ("../../etc/passwd", "/etc/passwd", "missing.pt"):
        assert "ROSETTA_WEIGHTS_DIRS" in register(422, weights=path)
        assert "ROSETTA_WEIGHTS_DIRS" in register(422, source=f"onnx:{path}")
    assert all(job["kind"] != "register" for job in http.get("/v1/jobs").json()["items"])


def test_mining_is_checked_before_it_is_queued(http):
    def mine(status, **body):
        return refused(http.post("/v1/mine", json={"probe": "faces", **body}), status)

    assert "no probe set 'face'; did you mean faces?" in mine(404, probe="face")
    assert "no model 'nobody'" in mine(404, models=["nobody", NET])
    assert "own samples" in mine(422, probe="photos", models=[GAN, NET])
    mine(422, models=[])
    mine(422, keep=0)
    assert "'keep'" in mine(422, keep="10")


def test_a_registration_is_queued_and_cancelled(http):
    response = http.post("/v1/models", json={"name": "new", "source": "timm:resnet18", "aliases": ["Fresh"]})
    assert response.status_code == 202, response.text
    job = response.json()
    assert (job["kind"], job["state"], job["parameters"]["aliases"]) == ("register", "queued", ["fresh"])
    assert http.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"
    cancelled = http.delete(f"/v1/jobs/{job['id']}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert http.get("/v1/jobs?state=cancelled&limit=1").json()["items"][0]["id"] == job["id"]
    again = http.post(f"/v1/jobs/{job['id']}/retry")
    assert (again.status_code, again.json()["state"]) == (200, "queued")
    with http.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        lines = events.iter_lines()
        assert next(lines) == "event: job"
        assert '"state":"queued"' in next(lines)
        http.delete(f"/v1/jobs/{job['id']}")
        rest = [line for line in lines if line.startswith("data:")]
    assert '"state":"cancelled"' in rest[-1]
    refused(http.delete("/v1/jobs/4242"), 404)
    refused(http.get("/v1/jobs/4242/events"), 404)


def test_uploaded_images_become_a_probe_set(http, picture):
    digests = {}
    for name, colour in (("b.png", (0, 0, 255)), ("a.png", (255, 0, 0))):
        data = picture(colour)
        digests[name] = hashlib.sha256(data).hexdigest()
        assert http.put(f"/v1/images/{digests[name]}", content=data).status_code == 201
    body = {"name": "two", "images": [{"name": name, "digest": digest} for name, digest in digests.items()], "size": 32}
    made = http.post("/v1/probes", json=body)
    assert made.status_code == 200, made.text
    assert (made.json()["count"], made.json()["height"], made.json()["kind"]) == (2, 32, "images")
    # The order of names decides, not that of the request; the size is part of the digest.
    swapped = body | {"images": body["images"][::-1]}
    assert http.post("/v1/probes", json=swapped).json() == made.json()
    assert "other images" in refused(http.post("/v1/probes", json=body | {"size": 64}), 409)
    assert http.delete("/v1/probes/two").status_code == 204
