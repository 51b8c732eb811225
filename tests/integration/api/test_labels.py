"""Labels: given, listed, found by their words, carried over to new concepts, and refused."""

import pytest
import sqlalchemy as sa

from service.database import schema
from service.queries import labels, names
from tests.integration.api import zoo

UNIT = f"{zoo.GAN}/main.8:1"  # number 9


def post(http, **body):
    return http.post("/v1/labels", json=body)


@pytest.fixture
def concept(http):
    """The first concept of the zoo: unit 8 of the GAN with others."""
    return http.get("/v1/concepts").json()["items"][0]["id"]


@pytest.fixture(autouse=True)
def nothing_stays(engine, correlations):
    yield
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.labels))


def measured(engine, kind, text, **values):
    """A label of a job."""
    with engine.begin() as conn:
        values = {"probe_set_id": names.probe_row(conn, "faces").id, "author": "clip-rn50", "score": 0.3, **values}
        if "concept_id" not in values:
            values = {"model_id": names.model_row(conn, zoo.GAN).id, "unit": 8, **values}
        return zoo.insert(conn, schema.labels, kind=kind, text=text, **values)


def test_a_label_of_a_unit(http):
    made = post(http, unit=UNIT, text="  gla\u0301sses \n on  a face ", author="ada")
    assert made.status_code == 201
    label = made.json()
    assert (label["kind"], label["text"], label["author"], label["score"]) == (
        "person",
        "gl\u00e1sses on a face",
        "ada",
        None,
    )
    assert (label["model"], label["layer"], label["unit"], label["channel"]) == (zoo.GAN, "main.8", 9, 1)
    assert (label["concept"], label["probe_set"]) == (None, None)
    by_number = http.get(f"/v1/models/{zoo.GAN}/units/9/labels").json()["items"]
    assert by_number == http.get(f"/v1/models/{zoo.GAN}/units/main.8:1/labels").json()["items"] == [label]
    assert http.get("/v1/labels").json()["items"] == [label]
    assert http.delete(f"/v1/labels/{label['id']}").json() == label
    assert http.get("/v1/labels").json()["items"] == []
    assert http.delete(f"/v1/labels/{label['id']}").status_code == 404


def test_the_same_again_is_the_one_there_is(http):
    first = post(http, unit=UNIT, text="hair").json()
    assert first["author"] == "anonymous"
    assert post(http, unit=f"{zoo.GAN}/9", text="hair").json() == first
    assert post(http, unit=UNIT, text="hair", author="ada").json()["id"] != first["id"]
    assert len(http.get("/v1/labels").json()["items"]) == 2


def test_a_concept_has_its_own_labels_and_those_of_its_members(http, engine, concept):
    own = post(http, concept=concept, text="eyes").json()
    assert (own["concept"], own["model"], own["unit"]) == (concept, None, None)
    post(http, unit=UNIT, text="of another unit")
    measured(engine, "text", "spectacles")
    path = f"/v1/concepts/{concept}/labels"
    assert [one["text"] for one in http.get(path).json()["items"]] == ["eyes"]
    assert [one["text"] for one in http.get(path, params={"of": "members"}).json()["items"]] == ["spectacles"]


def test_filters_and_pages(http, engine):
    for text in ("a", "b", "c"):
        post(http, unit=UNIT, text=text)
    measured(engine, "text", "d")
    measured(engine, "mask", "e", author="masks")

    def texts(**params):
        return "".join(one["text"] for one in http.get("/v1/labels", params=params).json()["items"])

    assert texts() == "edcba"
    assert texts(kind="mask") == "e"
    assert texts(text="B") == "b"
    assert http.get("/v1/labels", params={"text": "?"}).status_code == 422
    assert texts(probe="faces") == "ed"
    assert texts(model="clip") == ""
    page = http.get("/v1/labels", params={"limit": 2}).json()
    assert texts(limit=2, cursor=page["next_cursor"]) == "cb"


def find(http, text, **body):
    return http.post("/v1/search", json={"text": text, **body}).json()["items"]


def test_search_by_text_finds_words_stems_and_beginnings(http, engine, concept):
    post(http, unit=UNIT, text="Glasses")
    post(http, concept=concept, text="a pair of reading glasses on a nose")
    measured(engine, "text", "eyeglass")
    measured(engine, "text", "glass", score=0.9)
    found = find(http, "glasses")
    assert [one["text"] for one in found] == ["Glasses", "glass", "a pair of reading glasses on a nose"]
    assert [one["rank"] for one in found] == [1, 2, 3]
    assert {one["by"] for one in found} == {"label"}
    assert (found[0]["model"], found[0]["unit"], found[1]["kind"], found[2]["concept"]) == (zoo.GAN, 9, "text", concept)
    assert [one["text"] for one in find(http, "read nose")] == ["a pair of reading glasses on a nose"]
    assert [one["text"] for one in find(http, "eyeg")] == ["eyeglass"]
    assert find(http, "glasses hat") == find(http, "the") == find(http, "' & !!x:* |") == []
    assert len(find(http, "glasses", top=1)) == 1
    assert {one["model"] for one in find(http, "glasses", **{"in": zoo.GAN})} == {zoo.GAN}
    assert [one["unit"] for one in find(http, "glasses", probe="photos")] == [9]  # what people say of a unit holds


def test_search_by_text_finds_a_thing_once_and_no_concept_of_old(http, engine, concept):
    post(http, unit=UNIT, text="hair on a forehead")
    post(http, unit=UNIT, text="hair", author="ada")
    measured(engine, "text", "hair", score=0.1)
    measured(engine, "mask", "hair", score=0.7)
    old = post(http, concept=concept, text="hair").json()
    found = find(http, "hair")
    assert [(one["unit"], one["concept"], one["kind"], one["author"]) for one in found] == [
        (9, None, "person", "ada"),
        (None, concept, "person", "anonymous"),
        (8, None, "mask", "clip-rn50"),
    ]
    assert [one["probe_set"] for one in found] == [None, "faces", "faces"]
    assert [one["unit"] for one in find(http, "hair", probe="photos")] == [9]
    with engine.begin() as conn:
        gan, net = (names.model_row(conn, name).id for name in (zoo.GAN, zoo.NET))
        (newer,) = zoo.add_concepts(conn, names.probe_row(conn, "faces").id, [{gan: 8, net: 3}], version=7)
        version = conn.scalar(sa.select(schema.concepts.c.version_id).where(schema.concepts.c.id == newer))
        labels.carry_over(conn, version)
    assert [one["concept"] for one in find(http, "hair") if one["concept"]] == [newer]
    assert old in http.get("/v1/labels").json()["items"]
    with engine.begin() as conn:
        conn.execute(sa.delete(schema.concept_versions).where(schema.concept_versions.c.id == version))


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"unit": UNIT, "text": "   "}, 422, "the label is empty"),
        ({"unit": UNIT, "text": "x" * 201}, 422, "has 201 characters: 200 are allowed"),
        ({"unit": UNIT, "text": "a\u0000b"}, 422, "control character"),
        ({"unit": UNIT, "text": "a\u202eb"}, 422, "control character"),
        ({"unit": UNIT, "text": "hair", "author": "y" * 101}, 422, "the author has 101 characters"),
        ({"text": "hair"}, 422, "of a unit or of a concept"),
        ({"unit": UNIT, "concept": 1, "text": "hair"}, 422, "of a unit or of a concept"),
        ({"unit": f"{zoo.GAN}/99", "text": "hair"}, 404, "99"),
        ({"unit": "dcgan-face/9", "text": "hair"}, 404, "did you mean dcgan-faces"),
        ({"unit": "nonsense", "text": "hair"}, 422, "is not an address"),
        ({"concept": 99999, "text": "hair"}, 404, "no concept 99999"),
        ({"concept": -1, "text": "hair"}, 404, "no concept -1"),
        ({"unit": UNIT, "text": "hair", "kind": "mask"}, 422, "kind"),
    ],
)
def test_refused_and_nothing_stored(http, body, status, message):
    answer = post(http, **body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]
    assert http.get("/v1/labels").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name what to look for"),
        ({"unit": UNIT, "text": "hair"}, "name what to look for"),
        ({"text": " ?! "}, "no word"),
        ({"text": "x" * 400}, "300 are allowed"),
        ({"text": "hair", "top": 0}, "top"),
    ],
)
def test_searches_that_are_none(http, body, message):
    answer = http.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]["message"]


def test_peoples_labels_go_with_a_concept_to_the_next_version(http, engine, concept):
    """Concept (GAN 8, NET 3, CLIP 5) comes back with two of three members, and another one with one of them."""
    kept = post(http, concept=concept, text="eyes", author="ada").json()
    measured(engine, "text", "of a job", concept_id=concept)
    other = http.get("/v1/concepts").json()["items"][1]["id"]
    post(http, concept=other, text="is lost")
    with engine.begin() as conn:
        gan, net, clip = (names.model_row(conn, name).id for name in (zoo.GAN, zoo.NET, zoo.CLIP))
        faces = names.probe_row(conn, "faces").id
        heir, other = zoo.add_concepts(conn, faces, [{gan: 8, net: 3}, {gan: 1, clip: 5}], version=9)
        version = conn.scalar(sa.select(schema.concepts.c.version_id).where(schema.concepts.c.id == heir))
        assert labels.carry_over(conn, version) == 1
        assert labels.carry_over(conn, version) == 0
    (carried,) = http.get(f"/v1/concepts/{heir}/labels").json()["items"]
    assert (carried["text"], carried["author"], carried["kind"]) == ("eyes", "ada", "person")
    assert carried["evidence"] == {"carried_over_from": concept, "jaccard": 0.667}
    assert http.get(f"/v1/concepts/{other}/labels").json()["items"] == []
    assert kept in http.get(f"/v1/concepts/{concept}/labels").json()["items"]  # the old one stays readable
