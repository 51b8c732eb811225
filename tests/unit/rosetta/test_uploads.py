from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from rosetta import BrokenImages, InvalidRequest, Unavailable
from tests.unit.rosetta import values
from tests.unit.rosetta.fake import error


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"b.png": b"bbb", "a/z.jpg": b"zzz", "a/copy.jpg": b"bbb", ".hidden": b"x", ".cache/x.png": b"x"}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def takes(service, *missing: bytes) -> None:
    service.on("POST", "/v1/uploads/missing", {"missing": [sha(data) for data in missing]})
    for data in missing:
        service.on("PUT", f"/v1/images/{sha(data)}", {})
    service.on("POST", "/v1/probes", values.probe(kind="images"))


def test_only_what_is_missing_is_sent(talk, service, folder):
    takes(service, b"zzz")
    talk(talk.client.add_probe, "faces", images=folder, size=64, progress=False)
    sent = [request for request in service.asked if request.method == "PUT"]
    assert [(request.url.path, request.content) for request in sent] == [(f"/v1/images/{sha(b'zzz')}", b"zzz")]
    assert sent[0].headers["content-length"] == "3"
    assert service.bodies("POST", "/v1/uploads/missing") == [
        {"kind": "images", "digests": sorted({sha(b"bbb"), sha(b"zzz")})}
    ]
    assert service.bodies("POST", "/v1/probes") == [
        {
            "name": "faces",
            "images": [
                {"name": "a/copy.jpg", "digest": sha(b"bbb")},
                {"name": "a/z.jpg", "digest": sha(b"zzz")},
                {"name": "b.png", "digest": sha(b"bbb")},
            ],
            "size": 64,
        }
    ]


def test_the_same_picture_twice_is_sent_once(talk, service, folder):
    takes(service, b"bbb", b"zzz")
    talk(talk.client.add_probe, "faces", images=str(folder), progress=False)
    assert sorted(request.content for request in service.asked if request.method == "PUT") == [b"bbb", b"zzz"]


def test_broken_files_are_named_and_nothing_is_made(talk, service, folder):
    takes(service, b"bbb", b"zzz")
    broken = error(422, "invalid_request", f"image {sha(b'zzz')} is broken: truncated", image=sha(b"zzz"))
    service.on("PUT", f"/v1/images/{sha(b'zzz')}", broken)
    with pytest.raises(InvalidRequest) as caught:
        talk(talk.client.add_probe, "faces", images=folder, progress=False)
    assert caught.value.message == (
        f"1 of the 3 files in {folder} cannot be used: a/z.jpg is broken: truncated. "
        "Mend or remove them, or leave them out with --skip-broken (skip_broken=True)"
    )
    assert caught.value.details["broken"] == ["a/z.jpg"]
    assert "POST /v1/probes" not in service.paths()


def test_broken_files_are_left_out_when_that_is_asked_for(talk, service, folder):
    takes(service, b"bbb", b"zzz")
    service.on("PUT", f"/v1/images/{sha(b'zzz')}", error(422, "invalid_request", "the file is too large"))
    with pytest.warns(BrokenImages, match=r"left out 1 of the 3 files .* a/z.jpg: the file is too large"):
        talk(talk.client.add_probe, "faces", images=folder, skip_broken=True, progress=False)
    assert [image["name"] for image in service.bodies("POST", "/v1/probes")[0]["images"]] == ["a/copy.jpg", "b.png"]


def test_many_broken_files_are_counted(talk, service, tmp_path):
    for index in range(130):
        (tmp_path / f"{index:03}.txt").write_bytes(b"%d" % index)

    def missing(request: httpx.Request) -> httpx.Response:
        import json

        return httpx.Response(200, json={"missing": json.loads(request.content)["digests"]})

    service.on("POST", "/v1/uploads/missing", missing)
    for index in range(130):
        service.on("PUT", f"/v1/images/{sha(b'%d' % index)}", error(422, "invalid_request", "no"))
    with pytest.raises(InvalidRequest, match=r"130 of the 130 files .* 000\.txt: no; .*; and 125 more"):
        talk(talk.client.add_probe, "faces", images=tmp_path, progress=False)
    with pytest.raises(InvalidRequest, match="has no image that can be read"):
        talk(talk.client.add_probe, "faces", images=tmp_path, skip_broken=True, progress=False)


def test_a_full_disk_is_no_broken_image(talk, service, folder):
    takes(service, b"bbb", b"zzz")
    service.on("PUT", f"/v1/images/{sha(b'zzz')}", error(503, "unavailable", "the service cannot store the file"))
    with pytest.raises(Unavailable, match="cannot store"):
        talk(talk.client.add_probe, "faces", images=folder, skip_broken=True, progress=False)


def test_an_empty_folder(talk, service, tmp_path):
    (tmp_path / ".hidden").write_bytes(b"x")
    with pytest.raises(InvalidRequest, match="has no files: name a folder of images"):
        talk(talk.client.add_probe, "faces", images=tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_local_weights_and_networks_are_sent(talk, service, tmp_path, there):
    weights, network = tmp_path / "my net.pt", tmp_path / "age.onnx"
    weights.write_bytes(b"w" * 600_000)
    network.write_bytes(b"onnx")
    references = [f"{sha(b'onnx')}/age.onnx", f"{sha(b'w' * 600_000)}/my net.pt"]
    paths = [f"/v1/uploads/{sha(b'onnx')}/age.onnx", f"/v1/uploads/{sha(b'w' * 600_000)}/my net.pt"]
    answers = [{"missing": [] if there else [reference]} for reference in references]
    service.on("POST", "/v1/uploads/missing", *answers)
    for path in paths:
        service.on("PUT", path, {})
    service.on("POST", "/v1/models", values.job(3, "queued", kind="register"))
    talk(talk.client.add_model, "age", f"onnx:{network}", weights=weights, wait=False, progress=False)
    assert service.bodies("POST", "/v1/uploads/missing") == [
        {"kind": "weights", "digests": [reference]} for reference in references
    ]
    sent = [(request.url.path, len(request.content)) for request in service.asked if request.method == "PUT"]
    assert sent == ([] if there else [(paths[0], 4), (paths[1], 600_000)])
    body = service.bodies("POST", "/v1/models")[0]
    assert (body["source"], body["weights"]) == (f"onnx:{references[0]}", references[1])


def test_to_look_into_a_network_sends_its_files_too(talk, service, tmp_path):
    weights, network = tmp_path / "w.pt", tmp_path / "age.onnx"
    weights.write_bytes(b"w")
    network.write_bytes(b"onnx")
    references = [f"{sha(b'onnx')}/age.onnx", f"{sha(b'w')}/w.pt"]
    service.on("POST", "/v1/uploads/missing", *[{"missing": [reference]} for reference in references])
    for reference in references:
        service.on("PUT", f"/v1/uploads/{reference}", {})
    module = {"path": "a", "class_name": "Conv2d", "channels": 4, "height": 2, "width": 3, "calls": 1, "chosen": True}
    service.on("POST", "/v1/sources/layers", values.job(3, "queued", kind="inspect"))
    service.on("GET", "/v1/jobs/3", values.job(3, "done", kind="inspect", result={"modules": [module]}))
    found = talk(talk.client.layers, f"onnx:{network}?size=64", weights, "conv?", progress=False)
    assert [(each.path, each.channels, each.why_not) for each in found] == [("a", 4, "")]
    assert service.bodies("POST", "/v1/sources/layers") == [
        {"source": f"onnx:{references[0]}?size=64", "layers": ["conv?"], "weights": references[1]}
    ]
    assert [request.content for request in service.asked if request.method == "PUT"] == [b"onnx", b"w"]


def test_what_does_not_lie_here_is_the_services_own(talk, service):
    service.on("POST", "/v1/models", values.job(3, "queued", kind="register"))
    talk(talk.client.add_model, "age", "onnx:/srv/age.onnx", weights="/srv/w.pt", wait=False)
    body = service.bodies("POST", "/v1/models")[0]
    assert (body["source"], body["weights"]) == ("onnx:/srv/age.onnx", "/srv/w.pt")
