"""Labels on the pages: given and removed by forms, shown as text, found by their words."""

import re

import pytest

from service.database import schema
from service.queries import names
from tests.integration.api import zoo

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
PAGE = f"/units/{zoo.GAN}/8"


@pytest.fixture(autouse=True)
def nothing_stays(http):
    yield
    for label in http.get("/v1/labels").json()["items"]:
        http.delete(f"/v1/labels/{label['id']}")


def give(http, **form):
    return http.post("/labels", data={"unit": f"{zoo.GAN}/8", **form}, follow_redirects=False)


def test_a_form_gives_a_label_and_another_removes_it(http):
    given = give(http, text="glasses", author=" ")
    assert (given.status_code, given.headers["location"]) == (303, f"{PAGE}#labels")
    text = http.get(PAGE).text
    assert ">glasses <small>" in text
    assert "anonymous" in text
    gone = http.post(re.search(r'action="(/labels/\d+/remove)"', text)[1], follow_redirects=False)
    assert (gone.status_code, gone.headers["location"]) == (303, f"{PAGE}#labels")
    assert ">glasses <small>" not in http.get(PAGE).text


def test_a_concept_shows_its_own_and_its_members(http):
    concept = http.get("/v1/concepts").json()["items"][0]["id"]
    give(http, text="spectacles")
    http.post("/labels", data={"concept": concept, "text": "eyes", "author": "ada"})
    text = http.get(f"/concepts/{concept}").text
    assert f"Concept {concept}: eyes" in text
    assert "spectacles" in text
    listed = http.get("/concepts").text
    assert "eyes, spectacles" in listed


def test_markup_is_shown_as_text(http):
    give(http, text=HOSTILE, author="<i>ada</i>")
    concept = http.get("/v1/concepts").json()["items"][0]["id"]
    for path in (PAGE, f"/concepts/{concept}", "/concepts", "/search?q=alert", f"/search?q={HOSTILE}"):
        text = http.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "<i>ada" not in text
        assert "&lt;script&gt;alert" in text


def test_a_word_at_home_leads_to_what_it_finds(http):
    give(http, text="glasses")
    found = http.get("/", params={"q": "Glasses"}, follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (303, "/search?q=Glasses")
    text = http.get("/search?q=Glasses").text
    assert f'href="{PAGE}"' in text
    assert "No label has these words" in http.get("/search?q=hat").text
    assert http.get("/", params={"q": "EfficientNet"}, follow_redirects=False).headers["location"].startswith("/models")
    assert http.get("/", params={"q": "hat"}, follow_redirects=False).status_code == 422


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({"text": ""}, 422, "the label is empty"),
        ({"text": "x" * 201}, 422, "has 201 characters"),
        ({"text": "hair", "unit": "nobody/8"}, 404, "nobody"),
        ({"text": "hair", "concept": "1"}, 422, "of a unit or of a concept"),
        ({"text": "hair", "concept": "one"}, 422, "concept"),
    ],
)
def test_refused_on_a_page(http, form, status, message):
    answer = give(http, **form)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert message in answer.text
    assert http.get("/v1/labels").json()["items"] == []


def test_what_was_typed_stays_in_the_form(http):
    concept = http.get("/v1/concepts").json()["items"][0]["id"]
    for of, heading in (({}, "<h1>Unit 8"), ({"unit": None, "concept": concept}, f"<h1>Concept {concept}</h1>")):
        answer = give(http, text="a\u202eb", author='"ada"', **of)
        assert answer.status_code == 422
        assert "holds a control character" in answer.text
        assert heading in answer.text
        assert 'value="a\u202eb" aria-invalid="true" autofocus' in answer.text
        assert 'value="&#34;ada&#34;"' in answer.text


def test_peoples_labels_come_first_and_they_alone_are_removed(http, engine):
    with engine.begin() as conn:
        unit = {"model_id": names.model_row(conn, zoo.GAN).id, "unit": 8}
        on = {"probe_set_id": names.probe_row(conn, "faces").id, **unit}
        zoo.insert(conn, schema.labels, kind="person", text="glasses", author="ada", **unit)
        for text, score in (("hat", 0.125), ("hair", 0.5)):
            zoo.insert(conn, schema.labels, kind="text", text=text, author="clip-rn50", score=score, **on)
        zoo.insert(conn, schema.labels, kind="mask", text="eyes", author="celeba", score=0.25, **on)
    text = http.get(PAGE).text
    chips = re.findall(r'<li class="label (\w+)"><span title="([^"]*)">(\w+) <small>([\d.]*)', text)
    assert [(kind, label, score) for kind, _, label, score in chips] == [
        ("person", "glasses", ""),
        ("text", "hair", "0.50"),
        ("mask", "eyes", "0.25"),
        ("text", "hat", "0.12"),
    ]
    assert all("the score is" in title for kind, title, *_ in chips if kind != "person")
    assert "text · clip-rn50" in text
    assert text.count("Remove the label") == text.count("Remove the label glasses") == 1


@pytest.mark.parametrize("headers", [{"origin": "http://elsewhere.example"}, {"sec-fetch-site": "cross-site"}])
def test_another_sites_form_changes_nothing(http, headers):
    answer = http.post("/labels", data={"unit": f"{zoo.GAN}/8", "text": "hair"}, headers=headers)
    assert answer.status_code == 401
    assert http.get("/v1/labels").json()["items"] == []


def test_searches_that_are_none(http):
    assert http.get("/search").status_code == 200
    answer = http.get("/search?q=%3F%21")
    assert (answer.status_code, "no word" in answer.text) == (422, True)
