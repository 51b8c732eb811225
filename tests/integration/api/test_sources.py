"""A look into a source is checked before it is queued; the same request twice is one job."""

from __future__ import annotations

import pytest


def inspect(http, status, **body):
    response = http.post("/v1/sources/layers", json={"source": "timm:resnet18", **body})
    assert response.status_code == status, response.text
    return response.json()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"source": "resnet"}, "'resnet' is not a source"),
        ({"source": "onnx:/etc/passwd"}, "ROSETTA_WEIGHTS_DIRS"),
        ({"weights": "../../etc/passwd"}, "ROSETTA_WEIGHTS_DIRS"),
        ({"weights": "missing.pt"}, "'missing.pt'"),
        ({"layers": ["a\0"]}, "NUL"),
        ({"layers": "layer?"}, "'layers'"),
        ({"layer": ["layer?"]}, "'layer' is not a field"),
    ],
)
def test_what_is_refused(http, body, message):
    error = inspect(http, 422, **body)["error"]
    assert error["code"] == "invalid_request"
    assert message in error["message"]
    assert all(job["kind"] != "inspect" for job in http.get("/v1/jobs").json()["items"])


def test_the_same_request_is_one_job_while_it_is_not_done(http):
    job = inspect(http, 202)
    assert (job["kind"], job["state"], job["result"]) == ("inspect", "queued", None)
    assert job["parameters"] == {"source": "timm:resnet18", "weights": None, "layers": None}
    assert inspect(http, 202, layers=[])["id"] == job["id"]
    other = inspect(http, 202, layers=["layer?"])
    assert other["id"] != job["id"]
    assert inspect(http, 202, layers=["layer?"])["id"] == other["id"]
    for each in (job, other):
        assert http.delete(f"/v1/jobs/{each['id']}").json()["state"] == "cancelled"
    assert inspect(http, 202)["id"] > other["id"]
