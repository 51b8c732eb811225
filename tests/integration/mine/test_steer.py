"""Inversions and edits on real networks: carried out, stored, the same again, gone on with, refused."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from fastapi.testclient import TestClient
from PIL import Image

from rosetta.edits import Align, ChangeUnit, CopyPaste, ImageReference, PairChoice, Shift, Zoom
from rosetta.errors import InvalidRequest, NotFound
from rosetta.recipes import Optimiser, Recipe
from service import jobs, recipes
from service.api.app import create_app
from service.database import schema
from service.queries import translations
from service.queries.probes import add_generator_probe
from service.submit import submit_mine
from service.submit_register import submit_register
from service.submit_translation import preview_path, submit_recipe
from workers import tasks
from workers.pipelines import checkpoints
from workers.translation.inversion import Inversion
from workers.translation.objective import Objective
from workers.zoo import registry
from workers.zoo.base import Latents

GAN, AGE = "dcgan-faces", "age-net"
FEW = Optimiser(steps=12, draws=16, scouting=2)
ANY = PairChoice(q_value=None, k=3, min_correlation=0.15)
FACES = [ImageReference(probe="faces", position=position) for position in (3, 5)]


@pytest.fixture(scope="module")
def zoo(engine, settings, worker, celery):
    for name in (GAN, AGE):
        worker(submit_register(engine, celery, settings, name=name, source=f"demo:{name}"))
    with engine.begin() as connection:
        add_generator_probe(connection, "faces", GAN, count=24, seed=0)
    worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN, AGE]))


@pytest.fixture
def ask(engine, settings, zoo):
    """A recipe of an inversion."""

    def recipe(images=FACES, **options):
        options = {"generator": GAN, "pairs": ANY, "optimiser": FEW, **options}
        with engine.connect() as connection:
            return recipes.inversion(connection, settings, images=images, **options)

    return recipe


@pytest.fixture
def change(engine, settings):
    def recipe(translation, *edits, **options):
        with engine.connect() as connection:
            return recipes.edit(connection, settings, translation, edits, **options)

    return recipe


@pytest.fixture(scope="module")
def inverted(engine, settings, worker, celery, zoo):
    """The translation of two faces."""
    with engine.connect() as connection:
        recipe = recipes.inversion(connection, settings, generator=GAN, images=FACES, pairs=ANY, optimiser=FEW)
    return worker(submit_recipe(engine, celery, recipe)).result["translation"]


def read(engine, translation):
    with engine.connect() as connection:
        return translations.get_translation(connection, translation), translations.read_latents(connection, translation)


def picture(engine, translation, position, side="picture"):
    with engine.connect() as connection:
        file = translations.read_picture(connection, translation, position, side)
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def test_an_inversion_is_stored_with_all_that_makes_it_again(engine, settings, inverted):
    found, latents = read(engine, inverted)
    assert (found.kind, found.generator, found.probe_set, found.images) == ("inversion", GAN, "faces", 2)
    assert latents.shape == (2, 100)
    assert not preview_path(settings, found.job).exists()
    for item, reference in zip(found.items, FACES, strict=True):
        assert item.reference == reference
        assert len(item.losses) == FEW.steps
        assert min(item.losses) < item.losses[0]
        assert 0 < item.correlation <= 1
        assert item.psnr > 5
        assert -1 <= item.ssim <= 1
    network = registry.load(f"demo:{GAN}")
    with torch.inference_mode():
        own = network.images(network.module(*network.inputs(Latents(torch.from_numpy(latents.copy())))))
    for position in range(2):
        made = own[position].mul(255).round().byte().permute(1, 2, 0).numpy()
        assert np.abs(made.astype(int) - picture(engine, inverted, position)).max() <= 1
    recipe = Recipe.from_json(json.loads(json.dumps(found.recipe)))
    assert len(recipe.pairs) == found.pairs
    assert {pair.layer for pair in recipe.pairs} <= {"main.2", "main.5", "main.8", "main.11"}
    assert all(pair.weight >= ANY.min_correlation**2 and pair.std > 0 < pair.model_std for pair in recipe.pairs)


def test_the_same_recipe_gives_the_same_bits(engine, worker, celery, inverted):
    found, latents = read(engine, inverted)
    recipe = Recipe.from_json(found.recipe)
    known = submit_recipe(engine, celery, recipe)
    assert (known.id, known.already_done) == (found.job, True)
    again = worker(submit_recipe(engine, celery, recipe, again=True)).result["translation"]
    assert again != inverted
    twin, same = read(engine, again)
    assert (same == latents).all()
    assert twin.items == found.items
    assert (picture(engine, again, 1) == picture(engine, inverted, 1)).all()


def test_an_interrupted_job_goes_on_from_its_checkpoint(engine, settings, worker, celery, ask, monkeypatch):
    recipe = ask(seed=7)
    whole = worker(submit_recipe(engine, celery, recipe)).result["translation"]
    monkeypatch.setattr(checkpoints, "_EVERY_S", 0.0)
    steps = []
    advance = Inversion.advance

    def until_killed(self):
        steps.append(self.step)
        if len(steps) == 6:
            raise KeyboardInterrupt
        advance(self)

    monkeypatch.setattr(Inversion, "advance", until_killed)
    job = submit_recipe(engine, celery, recipe, again=True)
    monkeypatch.setattr(tasks, "get_settings", lambda: settings)
    monkeypatch.setattr(tasks, "_engine", lambda: engine)
    with pytest.raises(KeyboardInterrupt):
        tasks.run_part(job.id, 0)
    assert preview_path(settings, job.id).parent.joinpath(f"{job.id}.pt").is_file()
    done = worker(job)
    assert steps == [*range(6), *range(5, FEW.steps)]
    first, second = read(engine, whole), read(engine, done.result["translation"])
    assert (first[1] == second[1]).all()
    assert first[0].items == second[0].items
    assert not list(settings.checkpoints_dir.glob(f"{job.id}.*"))


def test_edits_begin_where_the_inversion_ended(engine, worker, celery, inverted, change):
    recipe = change(inverted, Shift(8, 0), Zoom(1.25), positions=[1])
    made = worker(submit_recipe(engine, celery, recipe)).result["translation"]
    found, latents = read(engine, made)
    _, before = read(engine, inverted)
    assert (found.kind, found.parent, found.images) == ("edit", inverted, 1)
    assert found.items[0].reference == ImageReference(translation=inverted, position=1)
    assert found.items[0].psnr is None
    moved = np.abs(latents[0] - before[1]).mean()
    assert 0.01 < moved < np.abs(latents[0] - before[0]).mean()
    assert (picture(engine, made, 0, "target") == picture(engine, inverted, 1)).all()


def test_every_kind_of_edit(engine, worker, celery, inverted, change):
    found, _ = read(engine, inverted)
    pair = Recipe.from_json(found.recipe).pairs[0]
    edits = [
        CopyPaste((0, 0, 16, 16), (40, 40)),
        CopyPaste((0, 0, 16, 16), (40, 40), ImageReference(probe="faces", position=9)),
        ChangeUnit("remove", unit=f"{GAN}/{pair.layer}:{pair.channel}"),
        ChangeUnit("raise", unit=f"{AGE}/{pair.model_layer}:{pair.model_channel}", amount=3.0, box=(8, 8, 32, 32)),
        Align(ImageReference(translation=inverted, position=0), strength=0.5),
    ]
    made = worker(submit_recipe(engine, celery, change(inverted, *edits))).result["translation"]
    again, _ = read(engine, made)
    kinds = [edit["kind"] for edit in again.recipe["edits"]]
    assert kinds == ["copy-paste", "copy-paste", "unit", "unit", "align"]
    assert again.recipe["edits"][2]["units"] == [f"{GAN}/{pair.layer}:{pair.channel}"]


def test_a_change_of_units_keeps_the_picture_elsewhere(engine, worker, celery, inverted, change):
    found, _ = read(engine, inverted)
    pair = max(Recipe.from_json(found.recipe).pairs, key=lambda one: one.weight)
    edit = ChangeUnit("raise", unit=f"{AGE}/{pair.model_layer}:{pair.model_channel}", box=(0, 0, 24, 24), amount=4)
    recipe = change(inverted, edit)
    assert (recipe.optimiser.prior, change(inverted, Shift(1, 0)).optimiser.prior) == (0, FEW.prior)
    made = worker(submit_recipe(engine, celery, recipe)).result["translation"]
    for position in range(2):
        difference = np.abs(picture(engine, made, position).astype(int) - picture(engine, inverted, position)).mean(2)
        assert difference[32:, 32:].mean() < 12


def test_an_edit_of_a_concept_is_one_of_its_units(engine, inverted, change):
    found, _ = read(engine, inverted)
    pair = Recipe.from_json(found.recipe).pairs[0]
    with engine.begin() as conn:
        columns = schema.layers.c
        gan = conn.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == GAN))
        first = conn.scalar(sa.select(columns.first_unit).where(columns.model_id == gan, columns.name == pair.layer))
        faces = conn.scalar(sa.select(schema.probe_sets.c.id))
        version = conn.scalar(
            sa.insert(schema.concept_versions)
            .values(probe_set_id=faces, version=99, resolution=0.2, q_value=1, seed=0, stability_seeds=1, pairs=1, k=1)
            .values(code_version="1")
            .returning(schema.concept_versions.c.id)
        )
        numbers = {"number": 0, "models": 1, "units": 1, "cohesion": 1, "stability": 1, "q_value": 0}
        new = sa.insert(schema.concepts).values(version_id=version, **numbers).returning(schema.concepts.c.id)
        concept = conn.scalar(new)
        member = {"concept_id": concept, "model_id": gan, "unit": first + pair.channel, "strength": 1}
        conn.execute(sa.insert(schema.concept_members).values(member))
    recipe = change(inverted, ChangeUnit("lower", concept=concept))
    assert recipe.edits[0]["units"] == (f"{GAN}/{pair.layer}:{pair.channel}",)


def test_losses_that_are_not_finite_fail_with_the_reason_and_the_best_is_kept(
    engine, settings, celery, worker, ask, monkeypatch
):
    """From the fifth step on everything is NaN, whatever the start."""
    losses = Objective.losses

    def lost(self, latents):
        lost.calls += 1
        loss, correlation = losses(self, latents)
        return (loss * torch.nan, correlation) if lost.calls > 4 else (loss, correlation)

    lost.calls = 0
    monkeypatch.setattr(Objective, "losses", lost)
    job = submit_recipe(engine, celery, ask(seed=11, optimiser=replace(FEW, draws=2)))
    with pytest.raises(AssertionError, match=r"not finite; translation \d+ keeps the best until then: ask for a lower"):
        worker(job)
    with engine.connect() as connection:
        (kept,) = connection.scalars(sa.select(schema.translations.c.id).where(schema.translations.c.job_id == job.id))
    found, latents = read(engine, kept)
    assert np.isfinite(latents).all()
    assert all(0 < item.correlation < 1 and np.isfinite(item.losses).all() for item in found.items)
    assert picture(engine, kept, 0).std() > 0
    assert not list(settings.checkpoints_dir.glob(f"{job.id}.*"))


def test_over_http(engine, settings, worker, inverted):
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as http:
        body = {"generator": "DCGAN", "images": [{"probe": "faces", "position": 1}], "models": ["age"]}
        body |= {"pairs": {"q_value": None, "min_correlation": 0.2}, "optimiser": {"steps": 4, "draws": 4}}
        job = http.post("/v1/inversions", json=body)
        assert job.status_code == 202, job.text
        assert http.get(f"/v1/jobs/{job.json()['id']}/preview").status_code == 404
        with engine.connect() as connection:
            done = worker(jobs.get(connection, job.json()["id"]))
        translation = done.result["translation"]
        assert http.post("/v1/inversions", json=body).status_code == 200
        edit = {"translation": translation, "edits": [{"kind": "shift", "dx": 4, "dy": -2}]}
        assert http.post("/v1/edits", json=edit).status_code == 202
        recipe = http.get(f"/v1/translations/{translation}/recipe").json()
        assert http.post("/v1/recipes", json={"recipe": recipe}).json()["id"] == done.id
        other = {**recipe, "generator": {**recipe["generator"], "weights_digest": "0" * 64}}
        refused = http.post("/v1/recipes", json={"recipe": other})
        assert (refused.status_code, "register the model with those weights" in refused.text) == (422, True)
        assert http.post("/v1/recipes", json={"recipe": {}}).status_code == 422
        settings.checkpoints_dir.mkdir(exist_ok=True)
        preview_path(settings, 12345).write_bytes(b"webp")
        assert http.get("/v1/jobs/12345/preview").content == b"webp"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"generator": AGE}, InvalidRequest, "makes no images"),
        ({"generator": "nobody"}, NotFound, "nobody"),
        ({"models_": [GAN]}, InvalidRequest, "looks at no images"),
        ({"models_": []}, InvalidRequest, "name one model"),
        ({"images": []}, InvalidRequest, "1 to 256 images"),
        ({"images": [ImageReference()]}, InvalidRequest, "one of the three"),
        ({"images": [ImageReference(probe="faces", position=24)]}, NotFound, "0 to 23"),
        ({"images": [ImageReference(digest="0" * 64)]}, NotFound, "send it again"),
        ({"images": [ImageReference(translation=999, position=0)]}, NotFound, "no translation 999"),
        ({"space": "w"}, InvalidRequest, "invert in z"),
        ({"class_index": 0}, InvalidRequest, "has no classes"),
        ({"seed": -1}, InvalidRequest, "a seed lies"),
        ({"pairs": PairChoice(min_correlation=0.999)}, InvalidRequest, "share no pair"),
        ({"optimiser": Optimiser(steps=0)}, InvalidRequest, "steps lies between"),
        ({"optimiser": Optimiser(starts=9, draws=8)}, InvalidRequest, "more than the 8 draws"),
        ({"optimiser": Optimiser(rate=0)}, InvalidRequest, "rate lies above 0"),
        ({"optimiser": Optimiser(pixel=float("nan"))}, InvalidRequest, "pixel is 0 or more"),
    ],
)
def test_inversions_that_are_none(ask, options, error, message):
    with pytest.raises(error, match=message):
        ask(**options)


def test_a_generator_without_a_dictionary_names_the_mine_that_would_make_it(engine, settings, worker, celery, ask):
    worker(submit_register(engine, celery, settings, name="late", source="demo:mobilenet-v2"))
    with pytest.raises(NotFound, match=f"rosetta mine --probe faces --models {GAN},late"):
        ask(models_=["late"])


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (ChangeUnit("raise"), InvalidRequest, "a unit or a concept"),
        (ChangeUnit("raise", unit=f"{GAN}/99999"), NotFound, "99999"),
        (ChangeUnit("raise", concept=99999), NotFound, "99999"),
        (Align(ImageReference(probe="nowhere", position=0)), NotFound, "nowhere"),
    ],
)
def test_edits_that_are_none(inverted, change, edit, error, message):
    with pytest.raises(error, match=message):
        change(inverted, edit)


def test_edits_of_what_is_not_there(inverted, change):
    with pytest.raises(NotFound, match="has images 0 to 1"):
        change(inverted, Shift(1, 1), positions=[2])
    with pytest.raises(NotFound, match="no translation 999"):
        change(999, Shift(1, 1))
    with pytest.raises(InvalidRequest, match="1 to 16 steps"):
        change(inverted)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Shift(64, 0), "nothing is left"),
        (Zoom(0), "factor lies above 0"),
        (Zoom(2, (70, 0)), "centre lies inside"),
        (CopyPaste((60, 0, 16, 16), (0, 0)), "a box lies inside the frame"),
        (Align(ImageReference(probe="faces", position=0), strength=2), "between 0 and 1"),
    ],
)
def test_edits_outside_the_frame_are_refused_at_once(inverted, change, edit, message):
    with pytest.raises(InvalidRequest, match=message):
        change(inverted, edit)
