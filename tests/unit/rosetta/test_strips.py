"""Results in a notebook: pictures of the first rows, whatever the service does, and every text escaped."""

import base64
import re

import httpx
import msgspec
import pytest

from rosetta.concepts import Members
from rosetta.labels import TextMatch
from rosetta.results import Check, Concept, ConceptMember, CorrelatedMatch, Shown, SketchMatch, Table, UnitStatistics
from rosetta.rows import Rows, SqlRows
from rosetta.strips import MOST, of_row
from rosetta.views import VIEWS
from tests.unit.rosetta import fake, values
from tests.unit.rosetta.fake import Awaiting, Blocking, talking
from tests.unit.rosetta.test_concepts import CONCEPT

UNIT = "/v1/models/dcgan-faces/units/813"
PICTURE = httpx.Response(200, headers={"content-type": "image/webp"}, content=b"RIFFWEBP")
URI = f"data:image/webp;base64,{base64.b64encode(b'RIFFWEBP').decode()}"
NO_WORKER = fake.error(503, "unavailable", "no <worker> is at work: start one with `rosetta worker`", job=3)
EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def blocking(service):
    with talking(Blocking, service) as talk:
        yield talk.client


def matches(client, service, count):
    service.on("GET", UNIT, values.unit())
    service.on("GET", f"{UNIT}/matches", values.page(*(values.match(rank) for rank in range(1, count + 1))))
    return client.unit("dcgan-faces", 813).matches()


def asked(service, path):
    return [dict(request.url.params.multi_items()) for request in service.asked if request.url.path == path]


def test_the_first_rows_have_pictures_and_no_more(blocking, service):
    service.on("GET", "/v1/grid", PICTURE)
    rows = matches(blocking, service, 12)
    shown = rows._repr_html_()
    assert shown.count(f'<img src="{URI}"') == MOST == len(asked(service, "/v1/grid"))
    assert shown.count("<tr>") == 13
    assert "Without pictures" not in shown
    requests = [request.url.params for request in service.asked if request.url.path == "/v1/grid"]
    assert {tuple(query.get_list("unit")) for query in requests} == {
        ("dcgan-faces/813", f"efficientnet-lite0/{66 + rank}") for rank in range(1, MOST + 1)
    }
    assert {(query["probe"], query["labels"], query["format"]) for query in requests} == {("faces", "false", "webp")}
    assert 'alt="dcgan-faces/813 and efficientnet-lite0/67"' in shown


def test_parts_of_them_have_pictures_too(blocking, service):
    service.on("GET", "/v1/grid", PICTURE)
    rows = matches(blocking, service, 12)
    assert rows[:2]._repr_html_().count(URI) == 2
    assert rows.where(lambda row: row.rank == 5)._repr_html_().count(URI) == 1


def test_without_a_worker_one_request_says_so(blocking, service):
    service.on("GET", "/v1/grid", NO_WORKER)
    shown = matches(blocking, service, 5)._repr_html_()
    assert len(asked(service, "/v1/grid")) == 1
    assert "<img" not in shown
    assert "where they fire" not in shown
    assert shown.count("<tr>") == 6
    assert "Without pictures: no &lt;worker&gt; is at work: start one with `rosetta worker`" in shown


def test_a_row_that_cannot_be_drawn_leaves_the_others_alone(blocking, service):
    missing = fake.error(404, "not_found", "no exemplars are stored")
    service.on("GET", "/v1/grid", missing, PICTURE)
    shown = matches(blocking, service, 4)._repr_html_()
    assert shown.count(URI) == 3
    assert "Without pictures" not in shown
    service.on("GET", "/v1/grid", missing)
    assert "Without pictures: no exemplars are stored" in matches(blocking, service, 4)._repr_html_()


@pytest.mark.parametrize("broken", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.Response(500)])
def test_whatever_breaks_the_table_is_there(blocking, service, broken):
    def answer(request):
        if isinstance(broken, Exception):
            raise broken
        return broken

    service.on("GET", "/v1/grid", answer)
    shown = matches(blocking, service, 3)._repr_html_()
    assert shown.count("<tr>") == 4
    assert "Without pictures: " in shown


def test_a_client_that_was_closed_shows_the_table(service):
    service.on("GET", "/v1/grid", PICTURE)
    with talking(Blocking, service) as talk:
        rows = matches(talk.client, service, 3)
    shown = rows._repr_html_()
    assert shown.count("<tr>") == 4
    assert "<img" not in shown


def test_an_asynchronous_client_waits_for_no_picture(service):
    service.on("GET", UNIT, values.unit())
    service.on("GET", f"{UNIT}/matches", values.page(values.match()))
    with talking(Awaiting, service) as talk:
        unit = talk(talk.client.unit, "dcgan-faces", 813)
        shown = talk(unit.matches)._repr_html_() + unit._repr_html_()
    assert "<img" not in shown
    assert "0.812" in shown
    assert len(service.asked) == 2


def test_a_unit_is_shown_with_its_figure_and_statistics(blocking, service):
    service.on("GET", UNIT, values.unit())
    service.on("GET", f"{UNIT}/grid", PICTURE)
    unit = blocking.unit("dcgan-faces", 813)
    shown = unit._repr_html_()
    assert URI in shown
    assert "unit 813 of dcgan-faces: main.8:45, 32x32" in shown
    assert "9.750" in shown
    service.on("GET", f"{UNIT}/grid", NO_WORKER)
    shown = unit._repr_html_()
    assert "<img" not in shown
    assert "Without pictures: no &lt;worker&gt;" in shown


def test_an_answer_and_a_correlation_have_the_pictures_of_their_rows(blocking, service):
    service.on("GET", "/v1/grid", PICTURE)
    answer = {
        "question": "q",
        "kind": "matches",
        "understood": "u",
        "text": f"it is {EVIL}",
        "matches": [values.match()],
    }
    service.on("POST", "/v1/ask", answer)
    shown = blocking.ask("q")._repr_html_()
    assert URI in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    found = msgspec.to_builtins(msgspec.convert(values.match() | {"similarity": 0.8}, CorrelatedMatch))
    service.on("GET", "/v1/jobs/4", values.job(4, "done", kind="correlate", result={"matches": [found]}))
    shown = blocking.job(4)._repr_html_()
    assert URI in shown
    assert "job 4 (correlate) done" in shown


def test_a_dictionary_shows_all_units_of_a_tuple(blocking, service):
    units = [
        {"model": model, "layer": "l", "unit": unit, "channel": unit, "correlation": 0.5}
        for model, unit in (("gan", 1), ("a", 2), ("b", 3))
    ]
    row = {"units": units, "mean_correlation": 0.5, "min_correlation": 0.4, "q_value": 0.01}
    body = {"generator": "gan", "models": ["a", "b"], "probe_set": "faces", "k": 1, "strict": False, "q_value": 0.05}
    service.on("GET", "/v1/dictionary", body | {"total": 1, "tuples": [row]})
    service.on("GET", "/v1/grid", PICTURE)
    assert URI in blocking.dictionary("gan", ["a", "b"])._repr_html_()
    assert service.asked[-1].url.params.get_list("unit") == ["gan/1", "a/2", "b/3"]


def pair(kind):
    return msgspec.convert(values.match() | {"similarity": 0.5}, kind)


TEXT = {
    "rank": 1, "by": "label", "score": 1.0, "text": "hair", "kind": "person", "author": "ada",
    "layer": None, "channel": None, "probe_set": "faces",
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "path", "units"),
    [
        (pair(SketchMatch), "/v1/grid", ["dcgan-faces/813", "efficientnet-lite0/67"]),
        (pair(CorrelatedMatch), "/v1/grid", ["dcgan-faces/813", "efficientnet-lite0/67"]),
        (Concept(7, "faces", 1, ("a", "b"), 2, 0.5, 0.9, 0.01), "/v1/concepts/7/grid", None),
        (TextMatch(**TEXT, model=None, unit=None, concept=7), "/v1/concepts/7/grid", None),
        (TextMatch(**TEXT, model="a", unit=5, concept=None), "/v1/grid", ["a/5"]),
    ],
)
def test_what_a_row_is_about(row, path, units):
    strip = of_row(row)
    assert strip is not None
    assert (strip.path, strip.params.get("unit")) == (path, units)


def test_rows_without_units_have_no_picture():
    assert of_row(UnitStatistics("faces", 0.0, 1.0, 0.0, 1.0, dead=False)) is None
    assert of_row((1, "a")) is None


def test_members_are_beside_the_strongest_of_them():
    members = [ConceptMember("a", "l", 1, 1, 0.4), ConceptMember("b", "l", 2, 2, 0.6)]
    rows = Members(members, "faces")
    assert [rows.strip(member).params["unit"] for member in members] == [["b/2", "a/1"], ["b/2"]]
    assert rows.strip(members[0]).params["probe"] == "faces"


def test_every_text_is_escaped(blocking, service):
    service.on("GET", "/v1/grid", PICTURE)
    row = values.match() | {"model": EVIL, "neighbour_model": EVIL, "neighbour_layer": EVIL, "probe_set": EVIL}
    service.on("GET", UNIT, values.unit(layer=EVIL))
    service.on("GET", f"{UNIT}/matches", values.page(row))
    unit = blocking.unit("dcgan-faces", 813)
    evil = {"models": [EVIL], "members": [{"model": EVIL, "layer": EVIL, "unit": 1, "channel": 1, "strength": 0.5}]}
    service.on("GET", "/v1/concepts/7", CONCEPT | evil | {"probe_set": EVIL})
    shown = [
        unit.matches()._repr_html_(),
        unit._repr_html_(),
        blocking.concept(7)._repr_html_(),
        SqlRows(Table((EVIL,), ("text",), ((EVIL,),)))._repr_html_(),
        Rows([Concept(7, EVIL, 1, (EVIL,), 2, 0.5, 0.9, 0.01)], Concept, EVIL)._repr_html_(),
    ]
    for text in shown:
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert not re.search(r'alt="[^"]*">[^<]*<script', text)


def test_one_result_is_a_table_of_one_row(blocking, service):
    layer = {"name": EVIL, "position": 0, "channels": 8, "height": 4, "width": 4, "first_unit": 0}
    service.on("GET", "/v1/models/a", values.model(layers=[layer]))
    shown = blocking.model("a")._repr_html_()
    assert shown.count("<tr>") == 4
    assert "0-7" in shown
    assert "1,280" in shown
    assert "<script" not in shown
    service.on("GET", "/v1/probes/faces", values.probe())
    assert "dcgan-faces (seed 0)" in blocking.probe("faces")._repr_html_()


@pytest.mark.parametrize("kind", [kind for kind in VIEWS if kind.__module__ == "rosetta.results" and kind is not Check])
def test_every_result_shows_itself(kind):
    assert issubclass(kind, Shown)


def test_colours_are_the_notebooks_own(blocking, service):
    service.on("GET", "/v1/grid", PICTURE)
    shown = matches(blocking, service, 3)._repr_html_()
    assert not re.search(r"color|background|#[0-9a-f]{3}", shown.replace(URI, ""))
