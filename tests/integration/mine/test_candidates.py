"""Candidates that are named: correlated exactly by a real job, asked for through the service by both clients."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
import sqlalchemy as sa
import torch

from rosetta import AsyncClient, Client
from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest, NotFound
from service.database import schema, sketches
from service.queries.approximate import Target, find_approximate
from service.queries.probes import add_generator_probe
from service.queries.search import near_unit
from service.submit import submit_mine
from service.submit_correlate import submit_correlate
from service.submit_register import submit_register
from tests import reference
from tests.integration.client.conftest import serving
from workers import tasks
from workers.mining.errors import ShapeError
from workers.mining.layout import LayerShape, ModelLayout
from workers.pipelines import networks
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.inputs import MinedModel
from workers.probes import GeneratorProbes
from workers.zoo import registry

GAN, NET, AGE = "dcgan-faces", "mobilenet-v2", "age-net"
IMAGES = 20
UNIT = 813


@pytest.fixture(scope="module")
def sketched(engine, settings, worker, celery):
    """Three models with sketches on faces; on more, which is newer, all but age-net."""
    for name in (GAN, NET, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    for probe, seed, models in (("faces", 0, [GAN, NET, AGE]), ("more", 1, [GAN, NET])):
        with engine.begin() as connection:
            add_generator_probe(connection, probe, GAN, count=IMAGES, seed=seed)
        worker(submit_mine(engine, celery, settings, probe=probe, models=models, sketch_only=True))


@pytest.fixture(scope="module")
def correlations(sketched):
    """r of the GAN's unit with every unit of the others on faces, by brute force in float64."""
    loaded = {name: registry.load(f"demo:{name}") for name in (GAN, NET, AGE)}
    probes = GeneratorProbes(loaded[GAN], 0, IMAGES)
    maps = {}

    def keep(model, layer, output):
        maps[model, layer] = output.clone()

    passes = ForwardPasses(probes, loaded, {name: loaded[name].layers for name in loaded}, torch.device("cpu"))
    list(passes.run([torch.arange(IMAGES)], list(loaded), keep))
    of_unit = maps_of_unit(maps, UNIT)
    return {
        name: reference.pearson_layers([of_unit], [maps[name, layer] for layer in loaded[name].layers])[0]
        for name in (NET, AGE)
    }


def maps_of_unit(maps, number):
    """The maps [N, 1, H, W] of a unit of the GAN."""
    for (model, _), value in maps.items():
        if model == GAN:
            if number < value.shape[1]:
                return value[:, number : number + 1]
            number -= value.shape[1]
    raise IndexError(number)


@pytest.fixture
def correlate(engine, worker, celery):
    def run(**options):
        job = submit_correlate(engine, celery, **{"model": GAN, "unit": UnitReference(number=UNIT), **options})
        return job if job.state == "done" else worker(job)

    return run


def test_the_r_of_each_is_that_of_brute_force(correlations, correlate, engine):
    numbers = {NET: [3, 400, 41, 350], AGE: [200, 5]}
    candidates = [f"{name}/{number}" for name in numbers for number in numbers[name]]
    found = correlate(candidates=candidates, probe="faces").result["matches"]
    assert [row["neighbour_model"] for row in found] == [AGE] * 2 + [NET] * 4
    for name, asked in numbers.items():
        rows = [row for row in found if row["neighbour_model"] == name]
        expected = sorted(asked, key=lambda number: -correlations[name][number])
        assert [row["neighbour_unit"] for row in rows] == expected
        assert [row["rank"] for row in rows] == list(range(1, len(asked) + 1))
        exact = correlations[name][expected].tolist()
        assert [row["correlation"] for row in rows] == pytest.approx(exact, abs=1e-4)
    with engine.connect() as connection:
        faces = connection.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
        ids = {row.name: row.id for row in connection.execute(sa.select(schema.models.c.name, schema.models.c.id))}
        for row in found:
            asked = [(ids[GAN], UNIT), (ids[row["neighbour_model"]], row["neighbour_unit"])]
            columns = schema.sketches.c
            vectors = [
                np.array(
                    connection.scalar(
                        sa.select(columns.sketch).where(
                            columns.probe_set_id == faces, columns.model_id == model, columns.unit == unit
                        )
                    ),
                    np.float64,
                )
                for model, unit in asked
            ]
            cosine = np.dot(*vectors) / np.prod([np.linalg.norm(vector) for vector in vectors])
            assert row["similarity"] == pytest.approx(cosine, abs=1e-5)


def test_order_and_repetition_of_candidates_make_no_other_job(correlate):
    first = correlate(candidates=[f"{NET}/3", f"{NET}/400", f"{AGE}/5"], probe="faces")
    again = correlate(candidates=[f"{AGE}/5", f"{NET}/400", f"{NET}/3", f"{NET}/3"], probe="faces")
    assert (again.id, again.already_done, first.already_done) == (first.id, True, False)
    assert first.parameters["candidates"] == 3
    assert first.parameters["models"] == [GAN, AGE, NET]
    assert correlate(candidates=[f"{NET}/3", f"{NET}/401"], probe="faces").id != first.id


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"candidates": []}, InvalidRequest, "name 1 to 1,000 candidates, not 0"),
        ({"candidates": [f"{NET}/1"] * 1001}, InvalidRequest, "name 1 to 1,000 candidates, not 1,001"),
        ({"candidates": [NET]}, InvalidRequest, "is not an address"),
        ({"candidates": [f"{NET}/99999"]}, NotFound, "mobilenet-v2 has no unit 99999"),
        ({"candidates": ["mobilenet/3"]}, NotFound, "no model 'mobilenet'; did you mean mobilenet-v2?"),
        ({"candidates": [f"{GAN}/3", f"{NET}/3"]}, InvalidRequest, "dcgan-faces is not compared with itself"),
        ({"candidates": [f"{NET}/3"], "neighbour": NET}, InvalidRequest, "leave out where to look"),
        (
            {"candidates": [f"{NET}/3", f"{AGE}/3"], "probe": "more"},
            NotFound,
            "age-net has no sketches on probe set more yet: `rosetta mine --probe more --models age-net --sketch-only`",
        ),
    ],
)
def test_candidates_that_cannot_be(sketched, engine, celery, options, error, message):
    with pytest.raises(error) as caught:
        submit_correlate(engine, celery, model=GAN, unit=UnitReference(number=UNIT), **options)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_dead_candidate_is_refused(sketched, engine, celery):
    columns = schema.unit_statistics.c
    with engine.connect() as connection, connection.begin() as transaction:
        model = connection.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == NET))
        of_unit = (schema.sketches.c.model_id == model) & (schema.sketches.c.unit == 3)
        connection.execute(sa.delete(schema.sketches).where(of_unit))
        connection.execute(
            sa.update(schema.unit_statistics).where(columns.model_id == model, columns.unit == 3).values(dead=True)
        )
        target = Target.among(connection, GAN, UnitReference(number=UNIT), [NET], "faces")
        assert len(target.estimates(connection, [(NET, UnitReference(number=4))])) == 1
        with pytest.raises(InvalidRequest, match=r"unit 3 .* of mobilenet-v2 is dead on probe set faces"):
            target.estimates(connection, [(NET, UnitReference(number=3))])
        transaction.rollback()


def test_the_newest_probe_set_that_both_have_been_sketched_on(sketched, engine):
    unit = UnitReference(number=UNIT)
    with engine.connect() as connection:

        def where(neighbour, **options):
            found = find_approximate(connection, GAN, unit, neighbour=neighbour, top=1, **options).items
            return {row.probe_set for row in found}

        assert where(None) == {"more"}
        assert where(NET) == {"more"}
        assert where(AGE) == {"faces"}
        assert where(NET, probe="faces") == {"faces"}
        assert {row.probe_set for row in near_unit(connection, GAN, unit, neighbour=AGE, top=1)} == {"faces"}
        assert {row.probe_set for row in near_unit(connection, GAN, unit, top=1)} == {"more"}


def test_similarities_of_many_units_at_once(sketched, engine):
    with engine.connect() as connection:
        probe_set = connection.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces"))
        ids = {row.name: row.id for row in connection.execute(sa.select(schema.models.c.name, schema.models.c.id))}
        unit = (ids[GAN], UNIT)
        near = sketches.nearest(connection, probe_set, unit, model_ids=[ids[NET], ids[AGE]], top=40)
        asked = [(one.model_id, one.unit) for one in near]
        found = sketches.similarities(connection, probe_set, unit, [*asked, (ids[NET], 10**6)])
        assert found == pytest.approx({key: one.similarity for key, one in zip(asked, near, strict=True)})
        with pytest.raises(NotFound, match="the unit has no sketch"):
            sketches.similarities(connection, probe_set, (ids[GAN], 10**6), asked)


def test_a_layer_that_lost_channels_is_told():
    layout = ModelLayout("net", (LayerShape("a", 2, 4, 4),))
    model = MinedModel(1, "net", layout, None, {"a": torch.tensor([1, 6])})
    maps = torch.rand(3, 7, 4, 4)
    assert torch.equal(model.chosen("a", maps), maps[:, [1, 6]])
    with pytest.raises(ShapeError, match=r"net/a gave \[3, 6, 4, 4\], expected channel 6"):
        model.chosen("a", maps[:, :6])


@pytest.fixture
def service(sketched, engine, settings, monkeypatch):
    """The service, with a worker in a thread; its address."""
    monkeypatch.setattr(tasks, "get_settings", lambda: settings)
    monkeypatch.setattr(tasks, "_engine", lambda: engine)
    networks.forget_all()
    over = threading.Event()
    jobs = schema.jobs.c
    waits = sa.select(jobs.id).where(jobs.kind == "correlate", jobs.state == "queued")

    def work():
        while not over.wait(0.02):
            with engine.connect() as connection:
                waiting = list(connection.scalars(waits))
            for job in waiting:
                tasks.run_part(job, 0)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with serving(settings) as url:
            yield url
    finally:
        over.set()
        thread.join()


def test_the_client_takes_rows_and_addresses(service, correlations):
    with Client(service) as client:
        unit = client.unit(GAN, UNIT)
        near = unit.matches(model=NET, approximate=True, top=5, probe="faces")
        like = client.search(unit=unit.address, model=AGE, top=2, probe="faces")
        job = client.correlate(unit.address, [*near, *like, f"{NET}/3"], probe="faces").wait(progress=False)
        found = job.matches
        expected = {(row.neighbour_model, row.neighbour_unit): row.correlation for row in near}
        expected |= {(row.neighbour_model, row.neighbour_unit): row.similarity for row in like}
        estimates = {(row.neighbour_model, row.neighbour_unit): row.similarity for row in found}
        assert expected.keys() == estimates.keys() - {(NET, 3)}
        assert {key: estimates[key] for key in expected} == pytest.approx(expected)
        for row in found:
            exact = float(correlations[row.neighbour_model][row.neighbour_unit])
            assert row.correlation == pytest.approx(exact, abs=1e-4)
        assert list(found.to_pandas()["rank"]) == [1, 2, 1, 2, 3, 4, 5, 6]
        again = client.correlate(f"{GAN}/{UNIT}", [*near, *like, f"{NET}/3"], probe="faces")
        assert (again.id, again.already_done, again.matches) == (job.id, True, found)
        assert client.jobs()[0].result == {"images": IMAGES}  # a list of jobs leaves the rows out
        with pytest.raises(InvalidRequest, match="is not an address"):
            client.correlate(f"{GAN}/{UNIT}", [NET])
        assert client.correlate(unit.address, model=AGE, top=3, probe="faces").wait(progress=False).matches


def test_the_asynchronous_client(service):
    async def ask():
        async with AsyncClient(service) as client:
            job = await client.correlate(f"{GAN}/{UNIT}", [f"{AGE}/5", f"{AGE}/200"], probe="faces")
            return (await job.wait(progress=False)).matches

    found = asyncio.run(ask())
    assert {row.neighbour_unit for row in found} == {5, 200}
    assert found[0].correlation > found[1].correlation
