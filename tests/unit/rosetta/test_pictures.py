"""Exemplars and heat maps as both clients ask for them."""

import httpx
import pytest

from rosetta.errors import Unavailable
from tests.unit.rosetta import fake, values

UNIT = "/v1/models/dcgan-faces/units/813"
EXEMPLAR = {
    "probe_set": "faces", "model": "dcgan-faces", "unit": 813, "layer": "main.8", "channel": 45,
    "measure": "mean", "rank": 1, "image": 7, "file": None, "value": 2.5,
}  # fmt: skip


def test_exemplars_are_rows(talk, service):
    service.on("GET", UNIT, values.unit())
    service.on("GET", f"{UNIT}/exemplars", values.page(EXEMPLAR, EXEMPLAR | {"rank": 2, "image": 3, "file": "b.png"}))
    unit = talk(talk.client.unit, "dcgan-faces", 813)
    found = talk(unit.exemplars, "faces", by="mean")
    assert dict(service.asked[-1].url.params) == {"probe": "faces", "by": "mean"}
    assert [(row.image, row.file, row.value) for row in found] == [(7, None, 2.5), (3, "b.png", 2.5)]
    assert "b.png" in repr(found)
    assert found.to_pandas().image.tolist() == [7, 3]


def test_a_heat_map_is_the_file(talk, service):
    service.on("GET", UNIT, values.unit())
    service.on("GET", f"{UNIT}/heatmap", httpx.Response(200, content=b"a picture"))
    unit = talk(talk.client.unit, "dcgan-faces", 813)
    assert talk(unit.heatmap, 7) == b"a picture"
    assert dict(service.asked[-1].url.params) == {"image": "7", "overlay": "true", "format": "png"}
    talk(unit.heatmap, 0, "faces", overlay=False, quantile=0, size=64, format="webp")
    assert dict(service.asked[-1].url.params) == {
        "image": "0", "probe": "faces", "overlay": "false", "quantile": "0", "size": "64", "format": "webp"
    }  # fmt: skip


def test_no_worker_is_an_error_with_the_mend(talk, service):
    service.on("GET", UNIT, values.unit())
    service.on("GET", f"{UNIT}/heatmap", fake.error(503, "unavailable", "start one with `rosetta worker`"))
    unit = talk(talk.client.unit, "dcgan-faces", 813)
    with pytest.raises(Unavailable, match="`rosetta worker`"):
        talk(unit.heatmap, 7)
