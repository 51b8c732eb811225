"""Translation between real networks: fitted, stored with what it explains, applied by the client, refused."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa
import torch

from rosetta.errors import InvalidRequest, NotFound
from rosetta.translating import Coefficients
from service.database import schema
from service.queries import equivalents
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_equivalents import coefficients_path, submit_equivalents
from service.submit_register import submit_register
from workers.pipelines import translate
from workers.probes import GeneratorProbes
from workers.translation.equivalents import TranslationSums
from workers.translation.responses import look, make
from workers.zoo import registry

GAN, AGE = "dcgan-faces", "age-net"


@pytest.fixture(scope="module")
def zoo(engine, settings, worker, celery):
    for name in (GAN, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=24, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, AGE]))


@pytest.fixture(scope="module")
def fit(engine, settings, worker, celery, zoo):
    def run(source=AGE, target=GAN, **options):
        options = {"k": 3, "held_out": 8, **options}
        return worker(submit_equivalents(engine, celery, settings, source=source, target=target, **options))

    return run


@pytest.fixture(scope="module")
def fitted(engine, settings, zoo, worker, celery):
    """The job, its result and coefficients, and the torch translations that they are of: pooled, and of maps."""
    kept = []
    result = TranslationSums.result

    def keep(self, ridge):
        kept.append((self, result(self, ridge)))
        return kept[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TranslationSums, "result", keep)
        job = worker(submit_equivalents(engine, celery, settings, source=AGE, target=GAN, k=3, held_out=8))
    with engine.connect() as connection:
        about = equivalents.get_equivalents(connection, job.result["equivalents"])
        digest = equivalents.digest_of(connection, about.id)
    return job, about, Coefficients.read(coefficients_path(settings, digest).read_bytes()), kept


def test_a_translation_says_what_it_explains(fitted):
    job, about, _, kept = fitted
    assert (about.source, about.target, about.probe_set, about.k) == (AGE, GAN, "faces", 3)
    assert (about.images, about.held_out, about.unseen, about.job) == (24, 8, True, job.id)
    assert about.units == len(about.items) == job.result["units"]
    for shares, (_, translation) in zip((about.pooled, about.maps), kept, strict=True):
        assert shares.ridge == pytest.approx(translation.explained.ridge_total)
        assert shares.best == pytest.approx(translation.explained.best_total)
        assert shares.chance == pytest.approx(translation.explained.chance_ridge_total)
    assert about.maps.ridge > about.maps.chance
    item, own = about.items[5], kept[1][1].explained
    assert (item.unit, item.maps) == (kept[1][1].partners.units[5], pytest.approx(float(own.ridge[5])))
    assert item.maps_chance == pytest.approx(float(own.chance_ridge[5]))


def test_held_out_images_are_new_samples(fitted):
    """The sums of the test are those of the generator's samples under the next seed, told one by one."""
    *_, kept = fitted
    sums, _ = kept[0]
    assert sums._images == [24, 8]
    network = registry.load(f"demo:{GAN}")
    unit = int(sums._partners.units[0])
    layer, channel = sums._target.place(unit)
    with torch.inference_mode():
        _, maps = make(network, GeneratorProbes(network, 1, 8).latents(range(8)), [layer])
    means = (maps[layer][:, channel].mean((1, 2)) - sums._target.mean[unit]) / sums._target.std[unit]
    products = sums._true[1]._products[0]
    assert products[-1, -2] == pytest.approx(float(means.double().sum()), abs=1e-4)
    assert products[-1, -1] == pytest.approx(float(means.double().square().sum()), rel=1e-4)


@pytest.mark.parametrize("method", ["ridge", "best"])
def test_the_client_tells_what_torch_tells(fitted, method):
    _, about, coefficients, kept = fitted
    (sums, pooled), (_, maps) = kept
    gan, age = registry.load(f"demo:{GAN}"), registry.load(f"demo:{AGE}")
    with torch.inference_mode():
        images, _ = make(gan, GeneratorProbes(gan, 5, 2).latents(range(2)))
        seen = look(age, images, [layer.name for layer in sums._source.layout.layers])
        told = maps.apply(sums._source, sums._target, seen, method)
    given = {layer: values.numpy() for layer, values in seen.items()}
    found = coefficients.apply(given, about, method)
    assert (found.pooled, found.explained) == (False, about.maps.ridge if method == "ridge" else about.maps.best)
    assert set(found.values) == set(told)
    for layer, (units, values) in told.items():
        first = sums._target.units[layer].start
        own = found.values[layer]
        np.testing.assert_allclose(own[:, units - first], values.numpy(), atol=2e-4, rtol=2e-4)
        matched = np.zeros(own.shape[1], bool)
        matched[units - first] = True
        assert np.isnan(own[:, ~matched]).all()
    means = np.concatenate([values.mean((2, 3)) for values in given.values()], 1)
    with torch.inference_mode():
        told = pooled.apply(sums._source, sums._target, seen, method)
    flat = coefficients.apply(means, about, method)
    assert flat.values.shape == (2, 960)
    for units, values in told.values():
        np.testing.assert_allclose(flat.values[:, units], values[:, :, 0, 0].numpy(), atol=2e-4, rtol=2e-4)
    by_layer = coefficients.apply({layer: values.mean((2, 3)) for layer, values in given.items()}, about, method)
    np.testing.assert_array_equal(np.concatenate(list(by_layer.values.values()), 1), flat.values)


def test_the_same_again_is_done_until_its_file_is_gone(engine, settings, celery, fit):
    job = fit(GAN, AGE)
    assert submit_equivalents(engine, celery, settings, source=GAN, target=AGE, k=3, held_out=8).id == job.id
    with engine.connect() as connection:
        before = coefficients_path(settings, equivalents.digest_of(connection, job.result["equivalents"]))
    other = fit(GAN, AGE, ridge=0.5)
    assert not before.exists()
    with engine.connect() as connection:
        count = sa.select(sa.func.count()).where(schema.equivalents.c.k == 3)
        assert connection.scalar(count) == 2
        after = coefficients_path(settings, equivalents.digest_of(connection, other.result["equivalents"]))
    after.unlink()
    again = fit(GAN, AGE, ridge=0.5)
    assert again.id != other.id
    assert after.exists()


def test_numbers_that_are_not_finite_are_refused_with_their_layer(fit, monkeypatch):
    consume = translate._activations

    def broken(*arguments):
        for positions, seen in consume(*arguments):
            layer, maps = next(iter(seen[0].items()))
            yield positions, [{**seen[0], layer: torch.full_like(maps, torch.nan)}, seen[1]]

    monkeypatch.setattr(translate, "_activations", broken)
    with pytest.raises(AssertionError, match="gave NaN or infinity on image"):
        fit(held_out=9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"source": GAN}, InvalidRequest, "needs no translation to itself"),
        ({"ridge": -1.0}, InvalidRequest, "0 or more"),
        ({"held_out": 1}, InvalidRequest, "held_out lies between 2"),
        ({"k": 0}, InvalidRequest, "1 or more"),
        ({"k": 11}, InvalidRequest, "10"),
        ({"seed": 0}, InvalidRequest, "seed 0 draws the images"),
        ({"probe": "nowhere"}, NotFound, "nowhere"),
        ({"source": "nobody"}, NotFound, "nobody"),
    ],
)
def test_what_is_refused(engine, settings, celery, zoo, options, error, message):
    with pytest.raises(error, match=message):
        submit_equivalents(engine, celery, settings, **{"source": AGE, "target": GAN, **options})
