"""Labels by an image-text model, end to end: planted responses, a small CLIP of random weights."""

import io
import json
import math
from uuid import uuid4

import httpx
import numpy as np
import open_clip
import pytest
import sqlalchemy as sa
import torch
from PIL import Image

from rosetta import Client, InvalidRequest, NotFound, cli
from service import jobs
from service.database import schema
from service.pictures.reading import read_image
from service.queries.labels import add_label, list_labels, remove_label
from service.queries.probes import add_image_probe
from service.queries.text_search import near_text, stored_sketch, text_query
from service.submit import submit_mine
from service.submit_cluster import submit_cluster
from service.submit_labels import submit_text_labels
from service.submit_register import submit_register
from service.submit_texts import submit_embed_text
from service.uploads import image_path
from tests.clips import NAME, write_clip
from tests.integration.client.conftest import serving
from tests.integration.mine.picturing import at_work
from workers import tasks
from workers.probes import preprocess
from workers.zoo.base import Preprocessing

IMAGES, PLANTED, NOISE = 80, 6, 40
WORDS = ["cat", "a red wheel", "glasses", "snow", "machine", "hair", "stone wall", "lamp"]


@pytest.fixture(scope="module")
def settings(settings, tmp_path_factory):
    return settings.model_copy(update={"weights_dirs": (tmp_path_factory.mktemp("weights"),)})


@pytest.fixture(scope="module")
def clip(settings, tmp_path_factory):
    """A small CLIP whose weights lie in the weights folder."""
    return write_clip(tmp_path_factory.mktemp("configs"), settings.weights_dirs[0] / "clip.safetensors")


def photo(number):
    """Noise of a colour, a size and a contrast of its own."""
    random = np.random.default_rng(number)
    small = random.integers(0, 256, (*random.integers(2, 9, 2), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((32, 32), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def photos(engine, settings):
    named = []
    for number in range(IMAGES):
        file = io.BytesIO()
        photo(number).save(file, "PNG")
        digest = f"{number:064x}"
        image_path(settings, digest).parent.mkdir(parents=True, exist_ok=True)
        image_path(settings, digest).write_bytes(file.getvalue())
        named.append((f"{number:03}.png", digest))
    with engine.begin() as connection:
        return add_image_probe(connection, settings, "photos", named, size=32)


@pytest.fixture(scope="module")
def cosines(settings, clip, photos):
    """Of OpenCLIP's own embeddings: float64 [N, T]."""
    pixels = np.stack([read_image(image_path(settings, f"{number:064x}"), 32) for number in range(IMAGES)])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    wanted = Preprocessing(32, 32, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD, "bicubic")
    with torch.inference_mode():
        seen = clip.encode_image(preprocess(images, wanted), normalize=True).double()
        said = clip.encode_text(open_clip.get_tokenizer(NAME)(WORDS), normalize=True).double()
    return (seen @ said.T).numpy()


@pytest.fixture(scope="module")
def mined(engine, settings, worker, celery, clip, photos, cosines):
    """Two recordings whose first units respond with words' cosines, the others with noise; and the CLIP."""
    random = np.random.default_rng(0)
    for name in ("brain", "other"):
        planted = cosines[:, :PLANTED] + 0.05 * cosines[:, :PLANTED].std(0) * random.normal(size=(IMAGES, PLANTED))
        responses = np.concatenate([planted, random.normal(size=(IMAGES, NOISE)), np.zeros((IMAGES, 1))], 1)
        np.save(settings.weights_dirs[0] / f"{name}.npy", responses.astype(np.float32))
        source = f"recording:{name}.npy?probe=photos"
        worker(submit_register(engine, celery, settings, name=name, source=source), settings)
    source = f"open_clip:{NAME}"
    registered = submit_register(engine, celery, settings, name="clip", source=source, weights="clip.safetensors")
    worker(registered, settings)
    worker(submit_mine(engine, celery, settings, probe="photos", models=["brain", "other"]), settings)
    worker(submit_cluster(engine, celery, probe="photos"), settings)


def expected_scores(cosines, responses, top):
    """Soft-WPMI of one unit by its formula, one word at a time."""
    powers = np.exp(10 * cosines)
    shares = powers / powers.sum(1, keepdims=True)
    images = sorted(range(IMAGES), key=lambda image: -responses[image])[:top]
    scores = np.zeros(len(WORDS))
    for rank, image in enumerate(images):
        weight = 0.998 - rank / top * (0.998 - 0.97)
        for word in range(len(WORDS)):
            scores[word] += math.log(1 + weight * (shares[image, word] - 1))
            scores[word] -= np.log(1 + weight * (shares[:, word] - 1)).mean()
    return scores


@pytest.fixture(scope="module")
def labelled(engine, settings, worker, celery, mined):
    job = submit_text_labels(engine, celery, probe="photos", words=WORDS, top=8, each=2)
    return worker(job, settings)


def labels_of(engine, **chosen):
    with engine.connect() as connection:
        return list_labels(connection, kind="text", limit=500, **chosen).items


def test_a_model_says_that_it_knows_texts(engine, mined):
    with engine.connect() as connection:
        details = dict(connection.execute(sa.select(schema.models.c.name, schema.models.c.details)).all())
    assert details["clip"]["text"] is True
    assert "text" not in details["brain"]


def test_planted_units_get_their_words_with_the_formulas_score(engine, settings, labelled, cosines):
    responses = np.load(settings.weights_dirs[0] / "brain.npy")
    found = {}
    for label in labels_of(engine, model="brain"):
        if label.evidence["rank"] == 1:
            found[label.unit] = label
        assert label.author == "clip"
        assert label.probe_set == "photos"
        assert label.evidence["q_value"] < 0.05
        expected = expected_scores(cosines, responses[:, label.unit], 8)
        assert label.score == pytest.approx(expected[WORDS.index(label.text)], abs=1e-3)
    assert [found[unit].text for unit in range(PLANTED)] == WORDS[:PLANTED]
    assert len([unit for unit in found if unit >= PLANTED]) <= 1  # of words at q < 0.05, one in twenty may be chance
    assert PLANTED + NOISE not in found  # it is dead


def test_concepts_get_the_word_of_their_members_mean(engine, settings, labelled, cosines):
    with engine.connect() as connection:
        members = schema.concept_members.c
        rows = connection.execute(
            sa.select(members.concept_id, schema.models.c.name, members.unit).join(
                schema.models, schema.models.c.id == members.model_id
            )
        ).all()
    assert rows
    found = {label.concept: label for label in labels_of(engine) if label.concept and label.evidence["rank"] == 1}
    responses = {name: np.load(settings.weights_dirs[0] / f"{name}.npy") for name in ("brain", "other")}
    for concept in {row.concept_id for row in rows}:
        scores = [
            expected_scores(cosines, responses[row.name][:, row.unit], 8) for row in rows if row.concept_id == concept
        ]
        mean = np.mean(scores, 0)
        assert found[concept].text == WORDS[mean.argmax()]
        assert found[concept].score == pytest.approx(mean.max(), abs=1e-3)


def test_a_job_replaces_its_own_labels_alone(engine, settings, worker, celery, labelled):
    with engine.begin() as connection:
        mine = add_label(connection, "mine", unit="brain/0")
    others = labels_of(engine, model="other")
    job = worker(
        submit_text_labels(engine, celery, probe="photos", models=["brain"], words=["x", "y"], top=8), settings
    )
    assert {label.text for label in labels_of(engine, model="brain")} <= {"x", "y"}
    assert labels_of(engine, model="other") == others
    assert labels_of(engine)  # those of concepts stay, as not all their members were looked at
    again = submit_text_labels(engine, celery, probe="photos", words=WORDS, top=8, each=2)
    assert again.id > job.id
    worker(again, settings)
    assert [label.text for label in labels_of(engine, model="brain", unit="brain/0")] != ["x"]
    with engine.connect() as connection:
        assert mine in list_labels(connection, unit="brain/0", kind="person").items


def test_the_built_in_words_are_there(engine, settings, worker, celery, labelled):
    job = submit_text_labels(engine, celery, probe="photos", models=["brain"])
    assert job.parameters["words"] == "built-in"
    assert job.parameters["top"] == 10
    assert worker(job, settings).result["words"] > 1200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": []}, "there are 0 words to choose from"),
        ({"words": ["a", "b" * 300]}, "the word has 300 characters: 200 are allowed"),
        ({"words": ["  "]}, "the word is empty"),
        ({"each": 0}, "a unit gets between 1 and 20 words, not 0"),
        ({"top": 80}, "top images lie between 1 and 79"),
        ({"q_value": 0.0}, "a q-value lies above 0"),
        ({"image_text": "brain"}, "brain is no image-text model"),
        ({"models": []}, "name the models to label"),
    ],
)
def test_what_cannot_be(engine, celery, mined, options, message):
    with pytest.raises(InvalidRequest, match=message):
        submit_text_labels(engine, celery, probe="photos", **options)


def test_a_model_that_was_not_mined(engine, celery, mined):
    with pytest.raises(NotFound, match="clip was not mined on probe set photos yet"):
        submit_text_labels(engine, celery, probe="photos", models=["clip"])
    with pytest.raises(NotFound, match="no model 'brian'; did you mean brain"):
        submit_text_labels(engine, celery, probe="photos", models=["brian"])


@pytest.mark.parametrize("word", WORDS[:3])
def test_a_text_finds_the_units_that_respond_as_it_fits(engine, settings, worker, celery, mined, cosines, word):
    with engine.connect() as connection:
        query = text_query(connection, f"  {word} ")
        assert (query.text, query.model.name, query.probe_set.name) == (word, "clip", "photos")
    worker(submit_embed_text(engine, celery, query), settings)
    with engine.begin() as connection:
        found = near_text(connection, query, stored_sketch(connection, query), top=50)
    responses = np.load(settings.weights_dirs[0] / "brain.npy")
    for match in found:
        if match.model == "brain":
            r = np.corrcoef(responses[:, match.unit], cosines[:, WORDS.index(word)])[0, 1]
            assert match.score == pytest.approx(r, abs=0.15)
    assert {(match.model, match.unit) for match in found[:2]} == {
        ("brain", WORDS.index(word)),
        ("other", WORDS.index(word)),
    }
    assert [match.rank for match in found] == list(range(1, len(found) + 1))
    assert {match.by for match in found} == {"clip"}


def test_the_images_are_looked_at_once(engine, settings, worker, celery, mined):
    results = []
    for text in ("a first one", "a second one"):
        with engine.connect() as connection:
            query = text_query(connection, text)
        results.append(worker(submit_embed_text(engine, celery, query), settings).result["looked"])
    assert results[-1] is False
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.text_projections)) == 1


@pytest.fixture(scope="module")
def client(settings, mined):
    with serving(settings) as url, Client(url) as client:
        yield client


def embedding(job, part):
    """Takes the jobs that embed texts, and leaves the maps that mining asks for: they take long."""
    with tasks._engine().connect() as connection:
        kind = jobs.get(connection, job).kind
    if kind == "embed_text":
        tasks.run_part(job, part)


def test_a_request_waits_for_the_model(client, settings, engine, monkeypatch, capsys):
    with engine.begin() as connection:
        said = add_label(connection, "a yellow hat", unit="brain/7")
    unasked = client.search(text="yellow hat", top=3)
    assert [(match.by, match.unit) for match in unasked] == [("label", 7)]
    assert unasked.searched == ("label",)
    assert unasked.note == "clip was not asked: no worker is at work, start one with `rosetta worker`"
    with at_work(settings, embedding):
        found = client.search(text="yellow hat", top=3, model="brain")
    assert found.searched == ("label", "clip")
    assert found.note is None
    assert [(match.by, match.rank) for match in found] == [("label", 1), ("clip", 1), ("clip", 2), ("clip", 3)]
    assert {match.model for match in found} == {"brain"}
    assert found[0].score != found[1].score >= found[2].score >= found[3].score
    assert found[1].text == "yellow hat"
    assert "searched: label, clip" in repr(found)
    again = client.search(text=" yellow  hat ", top=3, model="brain", image_text="clip")  # no worker is asked
    assert list(again) == list(found)
    monkeypatch.setenv("ROSETTA_URL", client.url)
    assert cli.run(["search", "--text", "yellow hat", "--top", "2", "--json"]) == 0
    assert [row["by"] for row in json.loads(capsys.readouterr().out)] == ["label", "clip", "clip"]
    assert cli.run(["search", "--text", "yellow caps"]) == 0
    assert "clip was not asked: no worker" in capsys.readouterr().err
    with engine.begin() as connection:
        remove_label(connection, said.id)


def test_the_page_of_a_search_shows_both(client, settings, engine):
    with engine.begin() as connection:
        said = add_label(connection, "a purple cow", unit="brain/7")
    with httpx.Client(base_url=client.url) as pages:
        unasked = pages.get("/search", params={"q": "purple cow"}).text
        assert "so clip could not be shown the text" in unasked
        assert "a purple cow" in unasked
        with at_work(settings):  # takes nothing
            assert 'data-state="queued"' in pages.get("/search", params={"q": "purple cow"}).text
        with at_work(settings, embedding):
            client.search(text="purple cow")
        shown = pages.get("/search", params={"q": "purple cow"}).text
        assert shown.index("By their labels") < shown.index("As clip sees the images")
        assert 'href="/units/brain/' in shown[shown.index("As clip sees") :]
        assert pages.get("/", params={"q": "pebble"}).headers["location"] == "/search?q=pebble"
        assert pages.get("/", params={"q": "brainy"}).status_code == 200  # near a model's name
    with engine.begin() as connection:
        remove_label(connection, said.id)


def test_a_model_that_cannot_be_asked_is_said(client, settings, engine):
    def fail(job, part):
        jobs.fail(engine, jobs.claim(engine, job, part, uuid4(), 60.0), "invalid_request", "no tokenizer is at hand")

    with at_work(settings, fail):
        found = client.search(text="a green one")
    assert not found
    assert found.note == "what clip makes of the text could not be made: no tokenizer is at hand"


def test_what_cannot_be_searched(client):
    with pytest.raises(InvalidRequest, match="brain is no image-text model"):
        client.search(text="hat", image_text="brain")
    with pytest.raises(InvalidRequest, match="an image-text model is shown a text"):
        client.search(unit="brain/0", image_text="clip")
    with pytest.raises(NotFound, match="no probe set 'phots'; did you mean photos"):
        client.search(text="hat", probe="phots")


def test_labels_are_found_by_the_client_too(client, settings, worker, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n\n")
    job = client.find_labels("photos", words=tmp_path / "words.txt", models="brain", top=8, image_text="clip")
    assert worker(job.last_seen, settings).result["words"] == len(WORDS)
    labels = {label.unit: label.text for label in client.labels(kind="text", model="brain")}
    assert [labels[unit] for unit in range(PLANTED)] == WORDS[:PLANTED]
    (tmp_path / "words.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest, match="cannot be read: it is not text in UTF-8"):
        client.find_labels("photos", words=str(tmp_path / "words.txt"))


def test_without_an_image_text_model_labels_alone_are_searched(client, engine, settings, worker, celery):
    client.remove_model("clip")
    found = client.search(text="yellow hat")
    assert found.searched == ("label",)
    assert "labels alone were searched: with an image-text model" in found.note
    with pytest.raises(InvalidRequest, match="no image-text model is registered"):
        submit_text_labels(engine, celery, probe="photos")
    with engine.connect() as connection:  # what it made goes with it, labels stay
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.text_sketches)) == 0
    assert client.labels(kind="text", model="brain")
