"""The job `register`, in this process: what it stores, and what it refuses."""

from __future__ import annotations

from threading import Event
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from safetensors.numpy import save_file

from rosetta.errors import Conflict, InvalidRequest, NotFound
from service import jobs
from service.broker import make_celery
from service.database import schema
from tests.integration.jobs import tiny
from workers.heartbeat import Heartbeat
from workers.pipelines import networks, register
from workers.pipelines.context import Context
from workers.zoo import registry
from workers.zoo.base import LayerError


@pytest.fixture(autouse=True)
def tiny_source(engine, monkeypatch):
    monkeypatch.setitem(registry.SOURCES, "tiny", tiny.__name__)
    networks.forget_all()
    tiny.loads.clear()
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE jobs, models, probe_sets CASCADE"))


@pytest.fixture
def run(engine, settings):
    """Runs a register job to its end, and gives its result; what the pipeline raises is raised here."""

    def run(name, source, *, settings=settings, **request):
        wanted = {"name": name, "source": source, "weights": None, "layers": None, "family": None, "aliases": []}
        job_id = jobs.create(engine, "register", f"register {name} {uuid4()}", {**wanted, **request}, [{"images": 1}])
        claim = jobs.claim(engine, job_id, 0, uuid4(), 30.0)
        with Heartbeat(engine, claim) as heartbeat:
            register.run(Context(engine, make_celery("memory://"), settings, claim, heartbeat, Event()))
        with engine.connect() as connection:
            job = jobs.get(connection, job_id)
        assert job.state == "done"
        return job.result

    return run


def stored(engine, model):
    with engine.connect() as connection:
        row = connection.execute(sa.select(schema.models).where(schema.models.c.name == model)).one()
        layers = sa.select(schema.layers).where(schema.layers.c.model_id == row.id).order_by(schema.layers.c.position)
        units = sa.select(schema.units.c.number, schema.layers.c.name, schema.units.c.channel).join(schema.layers)
        units = units.where(schema.units.c.model_id == row.id).order_by(schema.units.c.number)
        shapes = [
            (layer.name, layer.channels, layer.height, layer.width, layer.first_unit)
            for layer in connection.execute(layers)
        ]
        return row, shapes, [tuple(unit) for unit in connection.execute(units)]


def nothing_stored(engine):
    with engine.connect() as connection:
        tables = (schema.models, schema.layers, schema.units)
        return not any(connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables)


def test_a_network(engine, run):
    result = run("net", "tiny:nested", family="fam", aliases=["nick"])
    assert result == {"model": "net", "layers": 3, "units": 16}
    model, shapes, units = stored(engine, "net")
    assert shapes == [("first", 4, 8, 12, 0), ("second", 5, 4, 6, 4), ("last", 7, 1, 1, 9)]
    expected = [
        (name, channel) for name, count in (("first", 4), ("second", 5), ("last", 7)) for channel in range(count)
    ]
    assert units == [(number, *unit) for number, unit in enumerate(expected)]
    assert (model.family, model.aliases, model.is_generator, model.units) == ("fam", ["nick"], False, 16)
    assert model.details["licence"] == "none"
    assert model.details["preprocessing"]["height"] == 16


def test_a_generator(engine, run):
    assert run("gen", "tiny:generator")["units"] == 4
    model, shapes, _ = stored(engine, "gen")
    assert shapes == [("1", 4, 4, 4, 0)]
    assert (model.family, model.aliases, model.is_generator) == ("tiny", ["small"], True)
    assert model.details["latents"] == {
        "dimensions": 6,
        "height": 8,
        "width": 8,
        "classes": 3,
        "styles": None,
    }


def test_globs_take_what_runs_in_forward_order(engine, run):
    run("net", "tiny:nested", layers=["*s*d", "first.?", "never*"])  # `never` fits, and does not run
    assert [shape[0] for shape in stored(engine, "net")[1]] == ["first.0", "first.1", "second"]


@pytest.mark.parametrize(
    ("source", "layers", "error", "message"),
    [
        ("tiny:nested", ["frist"], InvalidRequest, "no layer fits 'frist'; the nearest .* first.*shows the tree"),
        ("tiny:nested", ["never"], InvalidRequest, "of model 'net' runs none of the layers never"),
        ("tiny:nested", ["first", "never"], InvalidRequest, "'never' does not run in the forward pass"),
        ("tiny:odd", ["sound", "pair"], LayerError, "'pair' gives 2 outputs"),
        ("tiny:odd", ["*o*"], InvalidRequest, "model 'net', layer 'broken': NaN or infinity in a trial pass"),
        ("tiny:none", None, InvalidRequest, "there is no tiny network 'none'"),
        ("huge:net", None, InvalidRequest, "'huge:net' names no source"),
    ],
)
def test_refusals_leave_nothing(engine, run, source, layers, error, message):
    with pytest.raises(error, match=message):
        run("net", source, layers=layers)
    assert nothing_stored(engine)


DIGEST = "4f1c09aa73e2" + 52 * "b"
OTHER = "4f1c09aa73e2" + 52 * "c"


@pytest.fixture
def responses(engine, settings):
    """Probe sets of 9 and 10 images, and files of responses to 9."""
    values = {"kind": "images", "height": 64, "width": 64}
    with engine.begin() as connection:
        for name, digest, count in (("faces", DIGEST, 9), ("photos", "0" * 64, 10)):
            row = {"name": name, "digest": digest, "count": count}
            connection.execute(sa.insert(schema.probe_sets).values(**row, **values))
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    np.save(settings.uploads_dir / "responses.npy", array)
    save_file({"v1": array, "v4/it": array}, settings.uploads_dir / "stated.safetensors", {"probe_set_digest": DIGEST})
    save_file({"v1": array}, settings.uploads_dir / "other.safetensors", {"probe_set_digest": OTHER})


@pytest.mark.parametrize("probe", ["faces", DIGEST, DIGEST[:12], DIGEST[:13].upper()])
def test_a_recording(engine, run, responses, probe):
    source = f"recording:responses.npy?probe={probe}"
    assert run("brain", source) == {"model": "brain", "layers": 1, "units": 5}
    model, shapes, _ = stored(engine, "brain")
    assert shapes == [("responses", 5, 1, 1, 0)]
    assert (model.family, model.source, model.recorded_on, model.is_generator) == ("recording", source, DIGEST, False)
    assert model.details == {"recording": {"images": 9, "probe_set_digest": DIGEST}}


@pytest.mark.parametrize("options", ["", "?probe=faces", f"?probe={DIGEST}"])
def test_a_recording_that_states_its_probe_set(engine, run, responses, options):
    run("brain", f"recording:stated.safetensors{options}")
    model, shapes, _ = stored(engine, "brain")
    assert model.recorded_on == DIGEST
    assert [shape[0] for shape in shapes] == ["v1", "v4.it"]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("responses.npy?probe=face", NotFound, "no probe set 'face'; did you mean faces"),
        (f"responses.npy?probe={DIGEST[:11]}", NotFound, "no probe set '4f1c09aa73e'; there are faces, photos"),
        (f"responses.npy?probe={OTHER}", NotFound, f"no probe set '{OTHER}'; there are faces, photos"),
        ("other.safetensors", NotFound, f"no probe set '{OTHER}'"),
        (
            "responses.npy?probe=photos",
            InvalidRequest,
            "the recording has 9 images, probe set 'photos' 10: save one row",
        ),
        (
            "other.safetensors?probe=faces",
            InvalidRequest,
            rf"says itself that it answers probe set '{OTHER}', not 'faces' \(4f1c09aa73e2\)",
        ),
    ],
)
def test_a_recording_that_does_not_fit_leaves_nothing(engine, run, responses, source, error, message):
    with pytest.raises(error, match=message):
        run("brain", f"recording:{source}")
    assert nothing_stored(engine)


def test_a_recording_before_any_probe_set(engine, run, responses):
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.probe_sets))
    with pytest.raises(NotFound, match="no probe set 'faces': there are none yet; make it with `rosetta probes add"):
        run("brain", "recording:responses.npy?probe=faces")


def test_a_name_that_was_taken_meanwhile(engine, run):
    run("net", "tiny:nested")
    with pytest.raises(Conflict, match="there is a model 'net' already"):
        run("net", "tiny:odd")
    assert len(stored(engine, "net")[1]) == 3


def test_networks_are_loaded_once(engine, run, settings, tmp_path):
    run("a", "tiny:nested")
    run("b", "tiny:nested", layers=["second"])
    assert tiny.loads == ["nested"]
    small = settings.model_copy(update={"memory_budget": 4})  # nothing but the last fits
    run("c", "tiny:odd", settings=small)
    run("d", "tiny:nested", settings=small)
    assert tiny.loads == ["nested", "odd", "nested"]


def test_weights_that_were_replaced_are_read_again(engine, run, settings):
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    file = settings.uploads_dir / "weights.pt"
    file.write_bytes(b"one")
    run("a", "tiny:nested", weights="weights.pt")
    first = stored(engine, "a")[0]
    assert first.weights == "weights.pt"
    file.write_bytes(b"other")
    run("b", "tiny:nested", weights="weights.pt")
    assert stored(engine, "b")[0].weights_digest != first.weights_digest
    with pytest.raises(InvalidRequest, match="the weights of tiny:nested are others than when it was registered"):
        networks.load(settings, "tiny:nested", "weights.pt", first.weights_digest)
