"""The jobs `register` and `mine` on the demo zoo, in this process: one forward pass an image, sketches to search."""

import numpy as np
import pytest
import sqlalchemy as sa

from service.database import schema, sketches
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_register import submit_register
from workers.pipelines import networks

DEMO = ("dcgan-faces", "efficientnet-lite0", "mobilenet-v2", "age-net")
IMAGES = 24
COMPARISONS = 12  # six pairs, both directions


@pytest.fixture(scope="module")
def mined(engine, settings, worker, celery):
    """The zoo, mined: how many images each network saw in the job `mine`."""
    for name in DEMO:
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", "dcgan-faces", count=IMAGES, seed=0)
    seen = dict.fromkeys(DEMO, 0)
    with pytest.MonkeyPatch.context() as patch:
        load = networks.load

        def counting(settings, source, *rest):
            network, name = load(settings, source, *rest), source.removeprefix("demo:")

            def count(_module, inputs):
                seen[name] += len(inputs[0])

            if id(network) not in hooks:  # the generator is asked for twice: to be mined, and for its images
                hooks[id(network)] = network.module.register_forward_pre_hook(count)
            return network

        hooks = {}
        patch.setattr(networks, "load", counting)
        worker(submit_mine(engine, celery, settings, probe="faces"))
        for hook in hooks.values():
            hook.remove()
    return seen


def test_four_models_and_six_pairs_take_one_forward_pass_an_image_each(engine, mined):
    assert mined == dict.fromkeys(DEMO, IMAGES)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.comparisons)) == COMPARISONS


def test_the_index_finds_what_an_exact_scan_of_real_sketches_finds(engine, mined):
    top, hits, asked = 10, 0, 0
    with engine.connect() as connection:
        # So few rows the planner would rather scan and sort, which is exact, and nothing would be tested.
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        connection.execute(sa.text("SET LOCAL enable_sort = off"))
        probe_set = connection.scalar(sa.select(schema.probe_sets.c.id))
        columns = schema.sketches.c
        rows = connection.execute(sa.select(columns.model_id, columns.unit, columns.sketch)).all()
        vectors = np.array([row.sketch for row in rows], np.float32)
        units = [(row.model_id, row.unit) for row in rows]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        models = np.array([model for model, _ in units])
        for place in range(0, len(units), 20):
            similarity = vectors @ vectors[place]
            similarity[models == models[place]] = -2  # a unit asks for those of other models
            exact = {units[other] for other in np.argsort(-similarity)[:top]}
            found = sketches.nearest(connection, probe_set, units[place], top=top)
            assert len(found) == top
            hits += len(exact & {(one.model_id, one.unit) for one in found})
            asked += top
        scans = sa.text("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = :name")
        connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        assert connection.scalar(scans, {"name": sketches._index(probe_set)}) * top == asked
    assert asked >= 1000
    assert hits / asked >= 0.95
