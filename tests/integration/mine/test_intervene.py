"""Effects on real networks: measured, stored beside their controls, measured anew, refused."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from rosetta.errors import InvalidRequest, NotFound
from service.database import schema
from service.queries import effects
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_effects import submit_effects
from service.submit_register import submit_register

GAN, AGE = "dcgan-faces", "age-net"
FEW = {"q_value": 1.0, "k": 3, "limit": 6, "latents": 3, "controls": 4}


@pytest.fixture(scope="module")
def zoo(engine, settings, worker, celery):
    for name in (GAN, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=16, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, AGE]))


@pytest.fixture(scope="module")
def measure(engine, worker, celery, zoo):
    def run(**options):
        return worker(submit_effects(engine, celery, generator=GAN, **FEW | options))

    return run


def stored(engine, **choice):
    with engine.connect() as connection:
        return effects.list_effects(connection, **choice).items


def test_effects_are_stored_beside_their_controls(engine, measure):
    job = measure()
    assert job.result == {AGE: 6}
    found = stored(engine, action="zero")
    assert len(found) == 6
    for one in found:
        assert (one.probe_set, one.generator, one.neighbour_model) == ("faces", GAN, AGE)
        assert (one.controls, one.latents, one.job, one.amount, one.box) == (4, 3, job.id, None, None)
        assert -1 <= one.effect <= 1
        assert one.size > 0
        assert 0 <= one.outside < 1
        assert 0 < one.correlation < 1
    responses = [abs(one.response) for one in found]
    assert responses == sorted(responses, reverse=True)
    with engine.connect() as connection:
        r = connection.execute(
            sa.text(
                "SELECT e.correlation, m.correlation FROM analytics.effects e JOIN analytics.matches m ON"
                " (m.model, m.unit, m.neighbour_model, m.neighbour_unit)"
                " = (e.generator, e.unit, e.neighbour_model, e.neighbour_unit)"
            )
        ).all()
    assert len(r) == 6
    assert all(one == other for one, other in r)


def test_the_same_again_is_done_until_another_took_its_place(engine, celery, measure):
    first = measure(action="boost")
    assert submit_effects(engine, celery, generator=GAN, action="boost", **FEW).id == first.id
    boxed = measure(action="boost", amount=3.0, box=[0, 0, 32, 64])
    found = stored(engine, action="boost")
    assert {(one.job, one.amount, one.box) for one in found} == {(boxed.id, 3.0, (0, 0, 32, 64))}
    assert submit_effects(engine, celery, generator=GAN, action="boost", **FEW).id != first.id
    measure()
    assert len(stored(engine, action="zero")) == 6  # another action is another measurement


def test_a_unit_that_is_set_fires_alike_everywhere(engine, measure):
    measure(action="set")
    (one, *_) = stored(engine, action="set")
    assert one.amount == 4
    with engine.connect() as connection:
        count = sa.select(sa.func.count()).select_from(schema.unit_effects.join(schema.interventions))
        kinds = connection.scalar(count.where(schema.interventions.c.action == "set"))
    assert kinds == len({other.unit for other in stored(engine, action="set")})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 0}, "seed 0 draws the images of 'faces'"),
        ({"box": [0, 0, 65, 10]}, "inside the frame, 64 x 64"),
        ({"box": [0, 0, 10]}, "four numbers"),
        ({"amount": 2.0}, "zero has none"),
        ({"action": "boost", "amount": 1.0}, "changes nothing"),
        ({"action": "set", "amount": float("nan")}, "finite"),
        ({"latents": 1}, "latents lies between 2"),
        ({"limit": 0}, "limit lies between 1"),
        ({"models": [AGE], "q_value": 1e-9}, "share no pair"),
        ({"q_value": 1e-9}, "share no pair"),
        ({"models": [GAN]}, "looks at no images"),
    ],
)
def test_what_is_refused(engine, celery, zoo, options, message):
    with pytest.raises(InvalidRequest, match=message):
        submit_effects(engine, celery, generator=GAN, **FEW | options)


def test_names_that_are_unknown(engine, celery, zoo):
    with pytest.raises(NotFound, match="nowhere"):
        submit_effects(engine, celery, generator=GAN, probe="nowhere")
    with pytest.raises(InvalidRequest, match="makes no images"):
        submit_effects(engine, celery, generator=AGE)
