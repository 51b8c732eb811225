"""Images to search by: what is refused leaves nothing behind, what is odd is shown right, what is old goes."""

import hashlib
import io
import os
import struct
import time
import zlib

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.api.app import create_app
from service.pictures.reading import read_image


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


GREY = Image.new("RGB", (20, 10), (10, 200, 90))
PNG = encoded(GREY, "PNG")


@pytest.fixture
def small(settings, tmp_path):
    settings = settings.model_copy(update={"data_dir": tmp_path, "max_image_bytes": 200_000})
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as http:
        yield http, settings


def send(http, content):
    return http.put(f"/v1/images/{hashlib.sha256(content).hexdigest()}", params={"still": "true"}, content=content)


def files(settings):
    return [path for path in settings.data_dir.rglob("*") if path.is_file()]


BAD = {
    "huge in bytes": (np.random.default_rng(0).bytes(200_001), 413, "larger than the 200,000 bytes"),
    "large in pixels": (encoded(Image.new("1", (12_000, 8_000)), "PNG"), 422, "has 96,000,000 pixels"),
    "huge in pixels": (encoded(Image.new("1", (20_000, 10_000)), "PNG"), 422, "200000000 pixels"),
    "cut short": (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:900], 422, "is broken"),
    "no image": (b"hello", 422, "no format that Pillow reads"),
    "drawn, not painted": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "no format that Pillow reads"),
    "animated": (
        encoded(GREY, "GIF", save_all=True, append_images=[Image.new("RGB", (20, 10))]),
        422,
        "has 2 pictures: send the one that is meant",
    ),
    "empty": (b"", 422, "no format that Pillow reads"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_and_nothing_stays(small, name):
    http, settings = small
    content, status, message = BAD[name]
    answer = send(http, content)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert files(settings) == []


@pytest.mark.parametrize("name", BAD)
def test_refused_of_a_form_with_a_page_and_nothing_stays(small, name):
    http, settings = small
    content, status, message = BAD[name]
    page = http.post("/search", files={"image": ("<me>.png", content)}, headers={"accept": "text/html"})
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert message in page.text
    assert status == 413 or "image &lt;me&gt;.png " in page.text
    assert files(settings) == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_form_that_is_far_too_large_is_a_page_too(small, announced):
    http, settings = small
    start = b'--x\r\nContent-Disposition: form-data; name="image"; filename="me.png"\r\n\r\n'
    body = start + bytes(200_000 + 2**21) + b"\r\n--x--\r\n"
    headers = {"accept": "text/html", "content-type": "multipart/form-data; boundary=x"}
    page = http.post("/search", content=body if announced else iter([body[: 2**20], body[2**20 :]]), headers=headers)
    assert page.status_code == 413
    assert "the body is larger than the" in page.text
    assert 'role="alert"' in page.text
    assert files(settings) == []


def test_a_form_of_another_site_is_refused(small):
    http, settings = small
    sent = {"files": {"image": ("me.png", PNG)}, "follow_redirects": False}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://elsewhere.example"}):
        assert http.post("/search", headers=headers, **sent).status_code == 401
        assert files(settings) == []
    answer = http.post("/search", headers={"sec-fetch-site": "same-origin"}, **sent)
    digest = hashlib.sha256(PNG).hexdigest()
    assert (answer.status_code, answer.headers["location"]) == (303, f"/search?image={digest}")
    assert [path.name for path in files(settings)] == [digest]


def test_a_form_without_an_image_says_so(small):
    http, _ = small
    page = http.post("/search", data={"q": "x"})
    assert (page.status_code, "no image was chosen" in page.text) == (422, True)


def deep_png():
    """A PNG of 16 bits a channel, which Pillow reads and does not write: 20 x 10 pixels of one colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(">3H", *(257 * value for value in (10, 200, 90))) * 20
    head = struct.pack(">IIBBBBB", 20, 10, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * 10)) + chunk(b"IEND", b"")


ODD = {
    "16 bits in colour": deep_png(),
    "CMYK": encoded(GREY.convert("CMYK"), "JPEG", quality=95),
    "16 bits a channel": encoded(Image.fromarray(np.full((10, 20), 40_000, np.uint16)), "PNG"),
    "transparent": encoded(Image.new("RGBA", (20, 10), (0, 0, 0, 0)), "PNG"),
    "sideways": encoded(
        Image.new("RGB", (10, 20), (10, 200, 90)), "JPEG", quality=95, exif=(e := Image.Exif(), e.update({274: 6}))[0]
    ),
}
SEEN = {
    "16 bits in colour": (10, 200, 90),
    "CMYK": (10, 200, 90),
    "16 bits a channel": (156, 156, 156),
    "transparent": (255,) * 3,
    "sideways": (10, 200, 90),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_images_are_shown_as_they_look(small, name):
    http, _ = small
    assert send(http, ODD[name]).status_code == 201
    shown = http.get(f"/v1/images/{hashlib.sha256(ODD[name]).hexdigest()}", params={"size": 20, "format": "png"})
    image = Image.open(io.BytesIO(shown.content))
    assert image.size == (20, 10)
    assert image.getpixel((10, 5)) == pytest.approx(SEEN[name], abs=6)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"image": "zz"}, "is not a sha256"),
        ({"image": "0" * 64, "text": "hair"}, "one of the three"),
        ({"text": "hair", "box": [0, 0, 1, 1]}, "name the image too"),
        ({"image": "0" * 64, "box": ["a"]}, "box"),
    ],
)
def test_searches_that_are_none(http, body, message):
    answer = http.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]["message"]


def test_an_image_that_was_not_sent(http):
    answer = http.post("/v1/search", json={"image": "0" * 64})
    assert (answer.status_code, "send it again" in answer.text) == (404, True)


def test_images_that_nobody_asks_about_go_after_a_day_and_others_never(small):
    http, settings = small
    shades = [encoded(Image.new("RGB", (20, 10), (shade, 0, 0)), "PNG") for shade in range(4)]
    old, asked, new, of_a_probe_set = (hashlib.sha256(content).hexdigest() for content in shades)
    for content in shades[:3]:
        assert send(http, content).status_code == 201
    assert http.put(f"/v1/images/{of_a_probe_set}", content=shades[3]).status_code == 201
    long_ago = time.time() - 2 * 86400
    for path in files(settings):
        if path.name != new:
            os.utime(path, (long_ago, long_ago))
    assert http.get(f"/v1/images/{asked}").status_code == 200  # that is to ask about it
    with TestClient(create_app(settings)):  # another one starts
        deadline = time.monotonic() + 10
        while old in {path.name for path in files(settings)} and time.monotonic() < deadline:
            time.sleep(0.02)
    assert {path.name for path in files(settings)} == {asked, new, of_a_probe_set}
    assert http.get(f"/v1/images/{old}").status_code == 404
    assert http.get(f"/v1/images/{of_a_probe_set}").status_code == 200  # one may ask about probe images, too


def test_the_whole_image_or_its_square(tmp_path):
    path = tmp_path / "wide.png"
    path.write_bytes(PNG)
    assert read_image(path, 40, whole=True).shape == (20, 40, 3)
    assert read_image(path, 40).shape == (40, 40, 3)
