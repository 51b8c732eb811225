"""A concept as both clients hand it out, and its picture as a file."""

import httpx
import msgspec
import pytest

from rosetta.errors import InvalidRequest, JobFailed, Unavailable
from rosetta.pictures import Picture
from rosetta.results import Concept
from tests.unit.rosetta import fake, values

CONCEPT = {
    "id": 7, "probe_set": "faces", "version": 2, "models": ["a", "b"], "units": 2, "cohesion": 0.5, "stability": 0.9,
    "q_value": 0.01,
    "members": [
        {"model": "a", "layer": "l", "unit": 4, "channel": 4, "strength": 0.4},
        {"model": "b", "layer": "l", "unit": 5, "channel": 5, "strength": 0.6},
    ],
}  # fmt: skip
GRID = "/v1/concepts/7/grid"
PNG = httpx.Response(200, content=b"\x89PNG picture")
BEING_MADE = fake.error(503, "unavailable", "the grid is still being made: ask again", job=12)


@pytest.fixture
def concept(talk, service):
    service.on("GET", "/v1/concepts/7", CONCEPT)
    return talk(talk.client.concept, 7)


def test_it_has_its_numbers_and_members(concept):
    assert (concept.id, concept.probe_set, concept.version, concept.models) == (7, "faces", 2, ("a", "b"))
    assert (concept.units, concept.cohesion, concept.stability, concept.q_value) == (2, 0.5, 0.9, 0.01)
    assert [member.unit for member in concept.members] == [4, 5]
    assert concept.members.to_pandas().strength.tolist() == [0.4, 0.6]
    assert concept.as_result() == msgspec.convert(CONCEPT, Concept)
    assert "concept 7: 2 units of a, b on probe set faces, cohesion 0.500" in repr(concept)
    assert "5 (l:5)" in repr(concept)


def test_its_figure_is_the_file(talk, service, concept):
    service.on("GET", GRID, PNG)
    assert talk(concept.grid) == b"\x89PNG picture"
    assert dict(service.asked[-1].url.params) == {"per_model": "1", "format": "png"}
    talk(concept.grid, images=4, rows=3, per_model=2, size=96, format="webp")
    assert dict(service.asked[-1].url.params) == {
        "images": "4", "rows": "3", "per_model": "2", "size": "96", "format": "webp"
    }  # fmt: skip


def test_a_unit_has_a_figure_too(talk, service):
    service.on("GET", "/v1/models/dcgan-faces/units/813", values.unit())
    service.on("GET", "/v1/models/dcgan-faces/units/813/grid", PNG)
    unit = talk(talk.client.unit, "dcgan-faces", 813)
    assert talk(unit.grid, "clip", 3, best_buddies=True, probe="faces", by="mean", images=2, size=64) == PNG.content
    assert dict(service.asked[-1].url.params) == {
        "in": "clip", "top": "3", "best_buddies": "true", "probe": "faces", "by": "mean", "images": "2", "size": "64",
        "format": "png",
    }  # fmt: skip


def test_it_waits_as_long_as_a_worker_is_at_it(talk, service, concept):
    service.on("GET", GRID, *[BEING_MADE] * 3, PNG)  # a request is sent three times
    service.on("GET", "/v1/jobs/12", values.job(12), values.job(12), values.job(12, "done"))
    assert talk(concept.grid) == PNG.content


def test_it_does_not_wait_for_a_worker_that_is_not_there(talk, service, concept):
    service.on("GET", GRID, fake.error(503, "unavailable", "start one with `rosetta worker`", job=12))
    service.on("GET", "/v1/jobs/12", values.job(12, "queued"))
    with pytest.raises(Unavailable, match="`rosetta worker`"):
        talk(concept.grid)
    assert service.paths().count("GET /v1/jobs/12") == 1


def test_nor_for_ever(talk, service, concept):
    service.on("GET", GRID, BEING_MADE)
    service.on("GET", "/v1/jobs/12", values.job(12, "done"))
    with pytest.raises(Unavailable, match="still being made"):
        talk(concept.grid)


def test_what_cannot_be_made_says_why(talk, service, concept):
    service.on("GET", GRID, BEING_MADE)
    service.on("GET", "/v1/jobs/12", values.job(12), values.job(12, "failed", error_message="other weights"))
    with pytest.raises(JobFailed, match="other weights"):
        talk(concept.grid)


def test_a_picture_shows_itself_and_is_saved_whole(tmp_path):
    picture = Picture(b"\x89PNG picture")
    assert picture._repr_html_().startswith('<img src="data:image/png;base64,iVBORyBwaWN0dXJl"')
    assert repr(picture) == "<image/png of 12 bytes>"
    assert Picture(b"RIFF....WEBP").media_type == "image/webp"
    file = tmp_path / "concept.png"
    file.write_bytes(b"what was there before")
    assert picture.save(file) == file
    assert file.read_bytes() == picture
    assert [path.name for path in tmp_path.iterdir()] == ["concept.png"]


def test_where_it_cannot_be_saved_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidRequest, match="cannot be written"):
        Picture(b"x").save(tmp_path / "folder")
    with pytest.raises(InvalidRequest, match="cannot be written: No such file"):
        Picture(b"x").save(tmp_path / "nowhere" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
