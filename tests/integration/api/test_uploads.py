"""Uploads: what arrives whole is kept, of anything else nothing stays."""

from __future__ import annotations

import hashlib
import io

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.api.app import create_app

WEIGHTS = b"weights" * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


def files(settings):
    return sorted(str(path.relative_to(settings.data_dir)) for path in settings.data_dir.rglob("*") if path.is_file())


def refused(response, status=422):
    assert response.status_code == status, response.text
    return response.json()["error"]["message"]


@pytest.fixture
def small(settings, tmp_path):
    """A service that takes little, with an empty data directory."""
    settings = settings.model_copy(
        update={"data_dir": tmp_path, "max_weights_bytes": len(WEIGHTS), "max_image_bytes": 100_000}
    )
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as http:
        yield http, settings


def test_weights_arrive(small):
    http, settings = small
    reference = f"{DIGEST}/net v1.pt"
    ask = {"kind": "weights", "digests": [reference]}
    assert http.post("/v1/uploads/missing", json=ask).json() == {"missing": [reference]}
    for _ in range(2):  # sending a file again is no error
        response = http.put(f"/v1/uploads/{DIGEST}/net%20v1.pt", content=WEIGHTS)
        assert (response.status_code, response.json()) == (201, {"reference": reference, "bytes": len(WEIGHTS)})
    assert http.post("/v1/uploads/missing", json=ask).json() == {"missing": []}
    assert files(settings) == [f"uploads/{reference}"]
    assert (settings.uploads_dir / reference).read_bytes() == WEIGHTS


def test_other_bytes_leave_nothing(small):
    http, settings = small
    message = refused(http.put(f"/v1/uploads/{DIGEST}/net.pt", content=WEIGHTS[:-1]))
    assert hashlib.sha256(WEIGHTS[:-1]).hexdigest() in message
    assert files(settings) == []


def test_too_much_is_refused_whether_announced_or_not(small):
    http, settings = small
    assert "larger than" in refused(http.put(f"/v1/uploads/{DIGEST}/net.pt", content=WEIGHTS + b"x"), 413)
    assert "larger than" in refused(http.put(f"/v1/uploads/{DIGEST}/net.pt", content=iter([WEIGHTS, b"x"])), 413)
    assert files(settings) == []


@pytest.mark.parametrize("name", [".hidden", "..", "a%00b", "%0a", "x" * 201, "a%5Cb"])
def test_file_names_are_plain(small, name):
    http, settings = small
    response = http.put(f"/v1/uploads/{DIGEST}/{name}", content=WEIGHTS)
    assert response.status_code in (404, 405, 422)
    assert files(settings) == []


@pytest.mark.parametrize("digest", ["x", DIGEST.upper(), DIGEST[:-1], ".." + DIGEST[2:]])
def test_digests_are_digests(small, digest):
    http, settings = small
    assert "is not a sha256" in refused(http.put(f"/v1/uploads/{digest}/net.pt", content=WEIGHTS))
    assert "is not a sha256" in refused(http.put(f"/v1/images/{digest}", content=WEIGHTS))
    assert "is not a sha256" in refused(http.post("/v1/uploads/missing", json={"kind": "images", "digests": [digest]}))
    assert files(settings) == []


def put_image(http, data):
    return http.put(f"/v1/images/{hashlib.sha256(data).hexdigest()}", content=data)


def test_images_arrive(small, picture):
    http, settings = small
    data = picture((1, 2, 3))
    digest = hashlib.sha256(data).hexdigest()
    assert put_image(http, data).json() == {"reference": digest, "bytes": len(data)}
    assert files(settings) == [f"images/{digest[:2]}/{digest}"]
    ask = {"kind": "images", "digests": [digest, "0" * 64]}
    assert http.post("/v1/uploads/missing", json=ask).json() == {"missing": ["0" * 64]}


def noise_png():
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(file, "PNG")
    return file.getvalue()


def bomb():
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is in no format that Pillow reads"),
        (b"no image at all", "is in no format that Pillow reads"),
        (noise_png()[:2000], "is broken"),
        (bomb(), "pixels"),
    ],
    ids=["empty", "text", "truncated", "bomb"],
)
def test_broken_images_are_refused_with_the_reason(small, data, reason):
    http, settings = small
    message = refused(put_image(http, data))
    assert message.startswith(f"image {hashlib.sha256(data).hexdigest()} ")
    assert reason in message
    assert files(settings) == []
