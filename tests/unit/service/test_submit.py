"""What a request becomes: a job, one that was done already, or an error at once."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from rosetta.errors import Conflict, InvalidRequest, NotFound
from service import jobs
from service.broker import make_celery
from service.database import schema
from service.engine_version import ENGINE_VERSION
from service.submit import submit_mine
from service.submit_register import submit_register


@pytest.fixture
def celery(redis_url):
    with make_celery(redis_url) as app:
        yield app


@pytest.fixture
def register(engine, celery, settings):
    return lambda **request: submit_register(engine, celery, settings, **request)


@pytest.fixture
def mine(engine, celery, settings):
    return lambda **request: submit_mine(engine, celery, settings, **request)


@pytest.fixture
def zoo(engine):
    """A generator with its samples, two networks, and a folder of images."""
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE jobs, models, probe_sets CASCADE"))
        ids = {name: add_model(connection, name, name.startswith("gan")) for name in ("gan", "net-a", "net-b")}
        faces = add_probe_set(connection, "faces", 100, ids["gan"])
        add_probe_set(connection, "photos", 20)
        add_probe_set(connection, "single", 1)
    return SimpleNamespace(**{name.replace("-", "_"): number for name, number in ids.items()}, faces=faces)


def add_model(connection, name, is_generator=False, recorded_on=None):
    row = {"name": name, "family": "x", "source": "demo:x", "weights_digest": "0", "units": 100}
    row["recorded_on"] = recorded_on
    return connection.scalar(
        sa.insert(schema.models).values(**row, is_generator=is_generator).returning(schema.models.c.id)
    )


def add_probe_set(connection, name, count, generator=None):
    row = {"name": name, "digest": name, "count": count, "height": 64, "width": 64, "generator_id": generator}
    kind = "images" if generator is None else "generator"
    return connection.scalar(sa.insert(schema.probe_sets).values(**row, kind=kind).returning(schema.probe_sets.c.id))


def store(engine, probe_set, models, keep=10, version=ENGINE_VERSION, job=None):
    """What a mining job of these models leaves."""
    common = {"probe_set_id": probe_set, "code_version": version, "job_id": job}
    counts = {"permutations": 4, "best_buddies": 1, "significant_best_buddies": 1, "chance_best_buddies": 0.1}
    with engine.begin() as connection:
        for model in models:
            connection.execute(sa.insert(schema.profiles).values(**common, model_id=model, dead_units=0))
        for a, b in permutations(models, 2):
            pair = {"model_id": a, "neighbour_model_id": b, "keep": keep}
            connection.execute(sa.insert(schema.comparisons).values(**common, **counts, **pair))


def payloads(engine, job):
    with engine.connect() as connection:
        query = sa.select(schema.job_parts.c.payload).where(schema.job_parts.c.job_id == job.id)
        return list(connection.scalars(query.order_by(schema.job_parts.c.part)))


def test_register_queues_what_was_asked(register, zoo):
    job = register(name="new", source="timm:resnet18", layers=["layer?"], family="ResNet", aliases=[" RN18", "rn18"])
    assert (job.kind, job.state) == ("register", "queued")
    assert job.parameters == {
        "name": "new",
        "source": "timm:resnet18",
        "weights": None,
        "layers": ["layer?"],
        "family": "resnet",
        "aliases": ["rn18"],
    }
    again = {"source": "timm:resnet18", "layers": ["layer?"], "family": "resnet", "aliases": ["rn18"]}
    assert register(name="new", **again).id == job.id
    with pytest.raises(Conflict, match=f"job {job.id} is registering another model as 'new' right now"):
        register(name="new", source="timm:resnet50")


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"name": "A/b"}, InvalidRequest, "'A/b' is not a name"),
        ({"name": "gan"}, Conflict, "there is a model 'gan' already"),
        ({"source": "resnet"}, InvalidRequest, "'resnet' is not a source"),
        ({"source": "onnx:/etc/passwd"}, InvalidRequest, "ROSETTA_WEIGHTS_DIRS"),
        ({"weights": "../../secret"}, InvalidRequest, "ROSETTA_WEIGHTS_DIRS"),
        ({"layers": ["a\0"]}, InvalidRequest, "NUL"),
        ({"weights": "nothing.pt"}, InvalidRequest, "'nothing.pt'"),
    ],
)
def test_register_refuses(register, zoo, request_, error, message):
    with pytest.raises(error, match=message):
        register(**{"name": "new", "source": "timm:resnet18", **request_})


def test_all_that_fit(engine, mine, zoo):
    job = mine(probe="faces")
    assert (job.state, job.already_done) == ("queued", False)
    assert job.parameters == {"probe": "faces", "models": ["gan", "net-a", "net-b"], "keep": 10}
    pairs = [[zoo.gan, zoo.net_a], [zoo.gan, zoo.net_b], [zoo.net_a, zoo.net_b]]
    assert payloads(engine, job) == [{"pairs": pairs, "profiles": [zoo.gan, zoo.net_a, zoo.net_b], "images": 100}]
    assert mine(probe="faces", models=["net-b", "gan", "net-a"]).id == job.id  # while it is not over
    assert mine(probe="photos").parameters["models"] == ["net-a", "net-b"]


def test_mined_already(engine, mine, zoo):
    job = mine(probe="faces")
    claim = jobs.claim(engine, job.id, 0, "00000000-0000-0000-0000-000000000000", 30.0)
    with jobs.publish(engine, claim):
        pass
    store(engine, zoo.faces, [zoo.gan, zoo.net_a, zoo.net_b], job=job.id)
    again = mine(probe="faces")
    assert (again.id, again.state, again.already_done) == (job.id, "done", True)
    some = mine(probe="faces", models=["gan", "net-a"], keep=3)
    assert (some.state, some.already_done, some.parameters["models"]) == ("done", True, ["gan", "net-a"])
    assert mine(probe="faces", models=["gan", "net-a"], keep=3).id == some.id
    assert mine(probe="faces", keep=11).state == "queued"


def test_a_new_model_does_not_mine_the_old_pairs_again(engine, mine, zoo):
    store(engine, zoo.faces, [zoo.gan, zoo.net_a, zoo.net_b])
    with engine.begin() as connection:
        new = add_model(connection, "net-c")
    pairs = [[zoo.gan, new], [zoo.net_a, new], [zoo.net_b, new]]
    expected = [{"pairs": pairs, "profiles": [new], "images": 100}]
    assert payloads(engine, mine(probe="faces")) == expected
    alone = mine(probe="faces", models=["net-c"])
    assert alone.parameters["models"] == ["gan", "net-a", "net-b", "net-c"]
    assert payloads(engine, alone) == expected


def test_what_an_older_engine_stored_is_mined_again(engine, mine, zoo):
    store(engine, zoo.faces, [zoo.gan, zoo.net_a], version="0")
    job = mine(probe="faces", models=["gan", "net-a"])
    assert payloads(engine, job)[0]["pairs"] == [[zoo.gan, zoo.net_a]]
    assert payloads(engine, job)[0]["profiles"] == [zoo.gan, zoo.net_a]


def test_a_missing_profile_is_work(engine, mine, zoo):
    store(engine, zoo.faces, [zoo.gan, zoo.net_a, zoo.net_b])
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.profiles).where(schema.profiles.c.model_id == zoo.net_b))
    (payload,) = payloads(engine, mine(probe="faces"))
    assert payload["pairs"] == [[zoo.gan, zoo.net_b], [zoo.net_a, zoo.net_b]]
    assert payload["profiles"] == [zoo.net_b]


def test_a_profile_is_one_parts_to_store(engine, celery, settings, zoo):
    small = settings.model_copy(update={"memory_budget": 1})
    job = submit_mine(engine, celery, small, probe="faces")
    parts = payloads(engine, job)
    assert [part["pairs"] for part in parts] == [
        [[zoo.gan, zoo.net_a]],
        [[zoo.gan, zoo.net_b]],
        [[zoo.net_a, zoo.net_b]],
    ]
    assert [part["profiles"] for part in parts] == [[zoo.gan, zoo.net_a], [zoo.net_b], []]
    assert job.progress_total == 300


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"probe": "face"}, NotFound, "no probe set 'face'; did you mean faces"),
        ({"models": ["net-x", "gan"]}, NotFound, "no model 'net-x'; did you mean net-[ab]"),
        ({"models": ["net-a"]}, InvalidRequest, "nothing is mined on probe set 'faces' yet that 'net-a' could"),
        ({"models": []}, InvalidRequest, "name the models"),
        ({"models": ["net-a", "net-a"]}, InvalidRequest, "could be compared with: name a second model"),
        ({"keep": 0}, InvalidRequest, "keep must be between 1 and 100, not 0"),
        ({"keep": 101}, InvalidRequest, "keep must be between 1 and 100, not 101"),
        ({"probe": "single"}, InvalidRequest, "probe set 'single' has one image"),
        (
            {"probe": "photos", "models": ["gan", "net-a"]},
            InvalidRequest,
            "generator 'gan' can only be mined on its own samples, but probe set 'photos' is a folder of images",
        ),
        ({"models": ["gan-2", "net-a"]}, InvalidRequest, "probe set 'faces' was made by 'gan'"),
    ],
)
def test_mine_refuses(engine, mine, zoo, request_, error, message):
    with engine.begin() as connection:
        add_model(connection, "gan-2", is_generator=True)
    with pytest.raises(error, match=message):
        mine(**{"probe": "faces", **request_})


def test_nothing_to_compare(engine, mine, zoo):
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.models).where(schema.models.c.name.like("net%")))
    with pytest.raises(InvalidRequest, match="only 'gan' fits probe set 'faces', and mining compares two or more"):
        mine(probe="faces")
    with pytest.raises(InvalidRequest, match="no model fits probe set 'photos'"):
        mine(probe="photos")


@pytest.fixture
def recorded(engine, zoo):
    """Responses to the faces, to the photos, and to what is no more."""
    with engine.begin() as connection:
        for probe_set in ("faces", "photos", "0123456789abcdef"):
            add_model(connection, f"brain-{probe_set[:6]}", recorded_on=probe_set)


def test_recordings_of_other_probe_sets_do_not_fit(mine, zoo, recorded):
    assert mine(probe="faces").parameters["models"] == ["gan", "net-a", "net-b", "brain-faces"]
    assert mine(probe="photos", sketch_only=True).parameters["models"] == ["net-a", "net-b", "brain-photos"]
    assert mine(probe="photos", models=["brain-photos", "net-b"]).state == "queued"


@pytest.mark.parametrize("options", [{}, {"sketch_only": True}])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "brain-photos",
            r"'brain-photos' can only .* answers \('photos'\), not on 'faces': `rosetta mine --probe photos`",
        ),
        (
            "brain-012345",
            r"'brain-012345' can only .* \(of digest 0123456789ab, which was removed\), not on 'faces': make",
        ),
    ],
)
def test_a_recording_is_mined_on_its_own_probe_set_alone(mine, zoo, recorded, model, message, options):
    with pytest.raises(InvalidRequest, match=message):
        mine(probe="faces", models=[model, "net-a"], **options)
