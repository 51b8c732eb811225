"""Labels by overlap with masks, end to end: a client sends masks, a worker looks, labels come back."""

import asyncio
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from rosetta import AsyncClient, Client, InvalidRequest, JobFailed, NotFound, cli
from service import jobs
from service.pictures.masks import read_mask
from service.submit import submit_mine
from service.submit_cluster import submit_cluster
from service.submit_register import submit_register
from tests.integration.client.conftest import serving
from tests.integration.mine.picturing import at_work
from workers import tasks
from workers.probes import GeneratorProbes
from workers.zoo import registry

GAN, LAYER, CHANNEL, SAMPLES = "dcgan-faces", "main.8", 45, 12
PHOTOS, SIDE, GRID = 16, 32, 8
WIDE = (48, 32)  # width, height of the photographs; networks see the square in the middle


@pytest.fixture(scope="module")
def settings(settings, tmp_path_factory):
    return settings.model_copy(update={"weights_dirs": (tmp_path_factory.mktemp("weights"),)})


def boxes(number):
    """Where the two things are on a photograph, in its own pixels: bool [H, W] each."""
    random = np.random.default_rng(number)
    shown = []
    for size in (12, 8):
        mask = np.zeros(WIDE[::-1], bool)
        top, left = random.integers(0, WIDE[1] - size), random.integers(8, 40 - size)
        mask[top : top + size, left : left + size] = True
        shown.append(mask)
    return shown


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Photographs, and masks of them: the second thing is on every other one."""
    photos, masks = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("masks")
    for thing in ("hat", "eye glasses"):
        (masks / thing / "in").mkdir(parents=True)
    (photos / "in").mkdir()
    for number in range(PHOTOS):
        noise = np.random.default_rng(100 + number).integers(0, 255, (*WIDE[::-1], 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / "in" / f"{number:02}.jpg")
        hat, glasses = boxes(number)
        Image.fromarray(hat).save(masks / "hat" / "in" / f"{number:02}.png")
        if number % 2 == 0:
            Image.fromarray(glasses.astype(np.uint8) * 7).save(masks / "eye glasses" / "in" / f"{number:02}.jpg.png")
    return photos, masks


def seen(number, thing):
    """A mask as networks see it: bool [32, 32]."""
    shown = boxes(number)[thing][:, 8:40]
    return shown if thing == 0 or number % 2 == 0 else np.zeros_like(shown)


@pytest.fixture(scope="module")
def responses():
    """Maps float32 [N, C, 8, 8]: the things, noise, and a dead unit."""
    random = np.random.default_rng(0)
    maps = random.normal(size=(PHOTOS, 5, GRID, GRID))
    for number in range(PHOTOS):
        for thing in (0, 1):
            shown = seen(number, thing).reshape(GRID, 4, GRID, 4).mean((1, 3))
            maps[number, thing] = shown + 0.01 * maps[number, thing]
    maps[:, 4] = 2
    return maps.astype(np.float32)


@pytest.fixture(scope="module")
def client(engine, settings, worker, celery, folders, responses):
    """Two recordings of the same responses on photographs, and a generator on its samples."""
    with serving(settings) as url, Client(url) as client:
        client.add_probe("photos", images=folders[0], size=SIDE, progress=False)
        for name in ("brain", "other"):
            np.save(settings.weights_dirs[0] / f"{name}.npy", responses)
            source = f"recording:{name}.npy?probe=photos"
            worker(submit_register(engine, celery, settings, name=name, source=source), settings)
        worker(submit_register(engine, celery, settings, name=GAN, source=f"demo:{GAN}"), settings)
        client.add_probe("faces", generator=GAN, count=SAMPLES, seed=0)
        worker(submit_mine(engine, celery, settings, probe="photos", models=["brain", "other"]), settings)
        worker(submit_cluster(engine, celery, probe="photos", q_value=1.0), settings)
        worker(submit_mine(engine, celery, settings, probe="faces", models=[GAN], sketch_only=True), settings)
        yield client


@pytest.fixture(scope="module")
def masked(client, folders):
    return client.add_masks("photos", folders[1], progress=False)


def brute_force(maps, masks, quantile):
    """Heights [C] and IoU [C, W] in float64, of maps [N, C, h, w] and masks [N, W, H, W]."""
    maps = torch.from_numpy(maps).double()
    ordered = maps.transpose(0, 1).flatten(1).sort(descending=True).values
    heights = ordered[:, int(quantile * ordered.shape[1])]  # as many are above it
    resized = functional.interpolate(maps, masks.shape[2:], mode="bilinear", align_corners=False)
    on = (resized > heights[:, None, None])[:, :, None]
    masks = torch.from_numpy(masks)[:, None]
    return heights, ((on & masks).sum((0, 3, 4)) / (on | masks).sum((0, 3, 4)).clamp(min=1)).double()


def labelling(job, part):
    """Takes the jobs that label, and leaves the maps that mining asks for: they take long."""
    with tasks._engine().connect() as connection:
        kind = jobs.get(connection, job).kind
    if kind == "label_masks":
        tasks.run_part(job, part)


def find(client, settings, probe, **options):
    with at_work(settings, labelling):
        return client.find_labels(probe, by="mask", **options).wait(progress=False)


def test_masks_are_listed_by_what_they_show(client, masked):
    assert [(row.text, row.images) for row in masked] == [("eye glasses", 8), ("hat", 16)]
    assert list(client.masks("photos")) == list(masked)
    assert not client.masks("faces")


def test_units_get_the_things_they_overlap_with(client, settings, worker, masked, responses):
    quantile = 0.05
    job = find(client, settings, "photos", quantile=quantile)
    masks = np.stack([[seen(number, thing) for thing in (1, 0)] for number in range(PHOTOS)])
    heights, iou = brute_force(responses[:, :4], masks, quantile)
    found = client.labels(kind="mask", model="brain")
    expected = {(unit, word) for unit, word in np.argwhere(iou.numpy() > 0.04).tolist()}
    words = ["eye glasses", "hat"]
    assert {(label.unit, words.index(label.text)) for label in found} == expected >= {(0, 1), (1, 0)}
    assert not {unit for unit, _ in expected} & {4}
    for label in found:
        assert label.score == pytest.approx(float(iou[label.unit, words.index(label.text)]), abs=2e-3)
        assert label.author == "masks"
        assert label.evidence["threshold"] == pytest.approx(float(heights[label.unit]), rel=1e-5)
        assert label.evidence["images"] == {"hat": 16, "eye glasses": 8}[label.text]
    concepts = [label for label in client.labels(kind="mask") if label.concept is not None]
    assert job.result["labels"] == len(client.labels(kind="mask")) == 2 * len(found) + len(concepts)
    for label in concepts:  # both of its members respond alike, so their mean is either's
        members = {(member.model, member.unit) for member in client.concept(label.concept).members}
        of_members = [one.score for one in client.labels(kind="mask", model="brain") if ("brain", one.unit) in members]
        assert label.score == pytest.approx(max(of_members), abs=1e-6)
    assert concepts


def test_layers_that_do_not_fit_the_memory_together_go_one_after_the_other(client, settings, monkeypatch, masked):
    whole = {(label.model, label.unit, label.text): label.score for label in client.labels(kind="mask")}
    monkeypatch.setattr(tasks, "get_settings", lambda: settings.model_copy(update={"memory_budget": 5000}))
    find(client, settings, "photos", quantile=0.05)
    again = {(label.model, label.unit, label.text): label.score for label in client.labels(kind="mask")}
    assert again == whole


def test_a_memory_budget_that_is_too_small_is_said(client, settings, monkeypatch, masked):
    monkeypatch.setattr(tasks, "get_settings", lambda: settings.model_copy(update={"memory_budget": 100}))
    with at_work(settings, labelling):
        job = client.find_labels("photos", by="mask")
        with pytest.raises(JobFailed, match="raise ROSETTA_MEMORY_BUDGET, or ask for a smaller quantile"):
            job.wait(progress=False)


def test_samples_of_a_generator_have_masks_by_position(client, settings, tmp_path):
    network = registry.load(f"demo:{GAN}")
    held = []
    hook = network.module.get_submodule(LAYER).register_forward_hook(lambda *call: held.append(call[2].clone()))
    with torch.inference_mode():
        latents = GeneratorProbes(network, 0, SAMPLES).latents(range(SAMPLES))
        network.module(*network.inputs(latents))
    hook.remove()
    maps = held[0]
    height = torch.quantile(maps[:, CHANNEL].flatten(), 0.99)
    resized = functional.interpolate(maps[:, CHANNEL, None], (64, 64), mode="bilinear", align_corners=False)[:, 0]
    (tmp_path / "what it shows").mkdir()
    for position, shown in enumerate((resized > height).numpy()):
        if shown.any():
            Image.fromarray(shown).save(tmp_path / "what it shows" / f"{position:03}.png")
    client.add_masks("faces", tmp_path, progress=False)
    find(client, settings, "faces", quantile=0.01, words=["what it shows"])
    labels = client.labels(kind="mask", model=GAN).to_pandas()
    best = labels.sort_values("score").iloc[-1]
    assert (best.layer, best.channel) == (LAYER, CHANNEL)
    assert best.score > 0.95
    assert (labels.score > 0.5).sum() < 5


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


ON = np.full((32, 48), 255, np.uint8)


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("hat/in/99.png", ON, r"no image is called as mask 'in/99.png' of 'hat' in probe set 'photos': .*'in/00.png'"),
        ("hat/in/01.png", np.full((40, 48), 1, np.uint8), "is 48x40 pixels, of another shape than its image of 48x32"),
        ("hat/in/01.jpg", ON, "mask 'in/01.jpg' of 'hat' is a JPEG: masks are PNG files"),
        ("01.png", ON, "lies in .* itself: put masks into a folder each thing"),
        (f"{'x' * 201}/in/01.png", ON, "the name of a mask's folder has 201 characters"),
    ],
)
def test_one_wrong_mask_and_nothing_is_stored(client, masked, tmp_path, name, pixels, message):
    save(tmp_path / "new" / "in" / "00.png", ON)
    save(tmp_path / "hat" / "in" / "00.png", ON)
    save(tmp_path / name, pixels)
    with pytest.raises(InvalidRequest, match=message):
        client.add_masks("photos", tmp_path, progress=False)
    assert list(client.masks("photos")) == list(masked)


def test_two_masks_of_one_image(client, masked, tmp_path):
    save(tmp_path / "hat" / "in" / "00.png", ON)
    save(tmp_path / "hat" / "in" / "00.jpg.png", ON)
    with pytest.raises(InvalidRequest, match="two masks of 'hat' are of in/00"):
        client.add_masks("photos", tmp_path, progress=False)


def test_things_are_replaced_alone_and_removed(client, masked, folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROSETTA_URL", client.url)
    save(tmp_path / "hat" / "in" / "03.png", np.full((8, 8), 255, np.uint8))  # of the square that networks see
    save(tmp_path / "wall" / "in" / "03.png", ON)
    assert cli.run(["probes", "masks", "photos", "--masks", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(row["text"], row["images"]) for row in printed] == [("eye glasses", 8), ("hat", 1), ("wall", 1)]
    assert cli.run(["probes", "masks", "photos", "--remove", "wall"]) == 0
    assert "eye glasses" in capsys.readouterr().out
    with pytest.raises(NotFound, match="probe set 'photos' has no masks of 'wall'"):
        client.remove_masks("photos", "wall")
    assert list(client.add_masks("photos", folders[1], progress=False)) == list(masked)


def test_what_cannot_be_labelled(client, masked):
    with pytest.raises(InvalidRequest, match="has no masks of 'sky': it has eye glasses, hat"):
        client.find_labels("photos", by="mask", words=["sky"])
    with pytest.raises(InvalidRequest, match="a quantile lies between 0 and 1"):
        client.find_labels("photos", by="mask", quantile=1.0)
    with pytest.raises(InvalidRequest, match="image_text goes with labels by text"):
        client.find_labels("photos", by="mask", image_text="clip")
    with pytest.raises(InvalidRequest, match="no image-text model is registered"):
        client.find_labels("photos")
    with pytest.raises(NotFound, match="dcgan-faces was not mined on probe set photos"):
        client.find_labels("photos", by="mask", models=GAN)


def test_the_command_line(client, settings, masked, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("ROSETTA_URL", client.url)
    (tmp_path / "words.txt").write_text("hat\n\n")
    command = ["labels", "find", "--probe", "photos", "--masks", "--words", str(tmp_path / "words.txt")]
    with at_work(settings, labelling):
        assert cli.run([*command, "--models", "brain", "--quantile", "0.05", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["words"] == 1
    assert {label.text for label in client.labels(kind="mask", model="brain")} == {"hat"}
    assert cli.run(["labels", "find", "--probe", "faces", "--masks", "--words", "/dev/null"]) == 1
    assert "0 words to choose from" in capsys.readouterr().err


def test_with_an_event_loop(client, masked, folders):
    async def ask():
        async with AsyncClient(client.url) as asking:
            before = await asking.masks("photos")
            after = await asking.add_masks("photos", folders[1], progress=False)
            job = await asking.find_labels("photos", by="mask", words=["hat"], models=["brain"])
            await job.cancel()
            with pytest.raises(NotFound):
                await asking.remove_masks("photos", "sky")
            return before, after, job.last_seen

    before, after, job = asyncio.run(ask())
    assert list(before) == list(after) == list(masked)
    assert (job.kind, job.parameters["models"], job.parameters["words"]) == ("label_masks", ["brain"], ["hat"])


def test_any_kind_of_png_is_read(tmp_path):
    inside = np.zeros((4, 6), bool)
    inside[1:3, 2:5] = True
    grey = inside.astype(np.uint8) * 3
    colours = np.stack([0 * grey, grey, 0 * grey], 2)
    transparent = np.concatenate([np.full((4, 6, 3), 9, np.uint8), 200 * inside[..., None].astype(np.uint8)], 2)
    pictures = {
        "bit": Image.fromarray(inside),
        "grey": Image.fromarray(grey),
        "deep": Image.fromarray(grey.astype(np.uint16) * 256),
        "rgb": Image.fromarray(colours),
        "rgba": Image.fromarray(transparent),
        "palette": Image.fromarray(grey).convert("P"),
    }
    pictures["palette"].putpalette([0, 0, 0] * 256)
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
        assert (read_mask(tmp_path / f"{name}.png", 4, 4) == inside[:, 1:5]).all(), name
        assert (read_mask(tmp_path / f"{name}.png", 8, 12)[::2, ::2] == inside).all(), name
    (tmp_path / "broken.png").write_bytes((tmp_path / "rgb.png").read_bytes()[:40])
    for name in ("broken.png", "missing.png"):
        with pytest.raises(InvalidRequest, match=f"mask '{name}' cannot be read"):
            read_mask(tmp_path / name, 4, 4)
