"""The job `correlate` on real networks: what sketches give, correlated exactly, is what mining stores."""

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from rosetta.addresses import UnitReference
from service.database import schema
from service.queries.approximate import find_approximate
from service.queries.matches import find_matches
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_correlate import submit_correlate
from service.submit_register import submit_register
from workers.pipelines import networks

GAN, NET, AGE = "dcgan-faces", "mobilenet-v2", "age-net"
IMAGES = 40
KEEP = 100


@pytest.fixture(scope="module")
def mined(engine, settings, worker, celery):
    """The matches of the GAN and the net, KEEP a unit; age-net has sketches alone."""
    for name in (GAN, NET, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=IMAGES, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=[AGE], sketch_only=True))
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, NET], keep=KEEP))
    with engine.connect() as connection:
        return pd.read_sql(sa.text("SELECT * FROM analytics.matches"), connection)


@pytest.fixture
def correlate(engine, worker, celery):
    """The job that correlates a unit, done; whether it was done before; what it found, as a table."""

    def run(unit, **options):
        job = submit_correlate(engine, celery, model=GAN, unit=UnitReference(number=unit), **options)
        if job.state != "done":
            job = worker(job)
        return job, pd.DataFrame(job.result["matches"])

    return run


def units_with_matches(mined, least=0.3):
    best = mined[(mined.model == GAN) & (mined["rank"] == 1) & (mined.correlation > least)]
    return best.sort_values("unit")


def test_r_is_what_mining_stores(mined, correlate):
    compared = 0
    for unit in units_with_matches(mined).unit.iloc[::25]:
        job, found = correlate(unit, neighbour=NET, top=100)
        assert job.result["images"] == IMAGES
        assert list(found["rank"]) == list(range(1, 101))
        assert found.correlation.is_monotonic_decreasing
        exact = mined[(mined.model == GAN) & (mined.unit == unit)]
        both = found.merge(exact, on="neighbour_unit", suffixes=("", "_mined"))
        assert both.correlation.to_numpy() == pytest.approx(both.correlation_mined.to_numpy(), abs=1e-4)
        for name in ("layer", "unit", "channel", "neighbour_layer", "neighbour_channel"):
            assert list(both[name]) == list(both[f"{name}_mined"])
        compared += len(both)
    assert compared > 150


def test_candidates_and_their_similarities_are_the_approximate_matches(engine, mined, correlate):
    unit = int(units_with_matches(mined).unit.iloc[3])
    _, found = correlate(unit, top=7)
    with engine.connect() as connection:
        page = find_approximate(connection, GAN, UnitReference(number=unit), top=7)
    assert [row.neighbour_model for row in page.items] == [AGE] * 7 + [NET] * 7
    expected = {(row.neighbour_model, row.neighbour_unit): row.correlation for row in page.items}
    pairs = list(zip(found.neighbour_model, found.neighbour_unit, strict=True))
    assert [model for model, _ in pairs] == [AGE] * 7 + [NET] * 7
    assert dict(zip(pairs, found.similarity, strict=True)) == pytest.approx(expected)
    assert list(found["rank"]) == [*range(1, 8), *range(1, 8)]
    for _, of_model in found.groupby("neighbour_model"):
        assert of_model.correlation.is_monotonic_decreasing
        # Exact and estimated differ by the noise of 512 dimensions; they are not the same number twice.
        assert (of_model.correlation - of_model.similarity).abs().max() < 0.25
        assert (of_model.correlation != of_model.similarity).all()


def test_the_best_matches_are_among_ten_approximate_ones(engine, mined):
    best = mined[(mined["rank"] == 1) & (mined.correlation > 0.3)]  # of both models
    assert len(best) > 75
    with engine.connect() as connection:

        def is_found(row):
            there = find_approximate(
                connection, row.model, UnitReference(number=row.unit), neighbour=row.neighbour_model
            )
            assert len(there.items) == 10
            return row.neighbour_unit in {match.neighbour_unit for match in there.items}

        assert np.mean([is_found(row) for row in best.itertuples()]) >= 0.95


def test_the_same_candidates_are_answered_at_once_and_others_are_another_job(engine, mined, correlate):
    unit = int(units_with_matches(mined).unit.iloc[5])
    first, found = correlate(unit, neighbour=NET, top=4)
    again, same = correlate(unit, neighbour="mobilenet", probe="faces", top=4)
    assert (again.id, again.already_done, first.already_done) == (first.id, True, False)
    assert same.equals(found)
    more, _ = correlate(unit, neighbour=NET, top=5)
    everywhere, _ = correlate(unit, top=4)
    assert len({first.id, more.id, everywhere.id}) == 3
    assert everywhere.parameters["models"] == [GAN, AGE, NET]
    assert first.parameters["unit"].startswith(f"{GAN}/main.")


def test_only_the_layers_and_channels_concerned_are_kept(engine, mined, correlate, monkeypatch):
    from workers.pipelines import passes

    made = []

    class Watched(passes.Miner):
        def __init__(self, models, *arguments, **options):
            made.append((models, arguments[0], options))
            super().__init__(models, *arguments, **options)

    monkeypatch.setattr(passes, "Miner", Watched)
    unit = int(units_with_matches(mined).unit.iloc[7])
    _, found = correlate(unit, top=3)
    ((models, pairs, options),) = made
    assert [(model.name, model.units) for model in models] == [(GAN, 1), (AGE, 3), (NET, 3)]
    assert pairs == [(0, 1), (0, 2)]
    assert options["permutations"] == 0
    recorded = {layer.name for layer in models[2].layers}
    assert recorded == set(found[found.neighbour_model == NET].neighbour_layer)


def test_nothing_is_stored_but_the_job(engine, mined, correlate):
    unit = int(units_with_matches(mined).unit.iloc[9])

    def counts():
        with engine.connect() as connection:
            tables = (schema.matches, schema.comparisons, schema.profiles, schema.sketches, schema.exemplars)
            return [connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables]

    before = counts()
    correlate(unit, neighbour=AGE)
    assert counts() == before


def test_each_network_runs_once_an_image(engine, mined, correlate, monkeypatch):
    seen = dict.fromkeys((GAN, NET), 0)
    load, hooks = networks.load, {}

    def counting(settings, source, *rest):
        network, name = load(settings, source, *rest), source.removeprefix("demo:")

        def count(_module, inputs):
            seen[name] += len(inputs[0])

        if id(network) not in hooks:
            hooks[id(network)] = network.module.register_forward_pre_hook(count)
        return network

    monkeypatch.setattr(networks, "load", counting)
    correlate(int(units_with_matches(mined).unit.iloc[11]), neighbour=NET)
    for hook in hooks.values():
        hook.remove()
    assert seen == {GAN: IMAGES, NET: IMAGES}


def test_match_of_a_model_with_sketches_alone_mentions_the_estimate(engine, mined):
    with engine.connect() as connection, pytest.raises(Exception, match=f"`rosetta match {AGE} 3 --approximate"):
        find_matches(connection, AGE, UnitReference(number=3), neighbour=NET)
