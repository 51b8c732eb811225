"""Recordings through the whole product: sent, registered, mined and asked about; r as brute force has it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from safetensors.torch import save_file

from rosetta import Client, JobFailed
from rosetta.errors import InvalidRequest
from service.queries.probes import add_image_probe
from service.submit import submit_mine
from service.submit_register import submit_register
from service.uploads import image_path
from tests.integration.test_end_to_end import embedded
from tests.reference import pearson_layers
from workers import probes
from workers.pipelines import networks
from workers.pipelines.forward import ForwardPasses
from workers.zoo import registry

ROOT = Path(__file__).parents[3]
N = 24
RANDOM = np.random.default_rng(0)
SIGNAL = RANDOM.normal(size=(N, 6, 8, 8))  # what all of the recordings have in common
ARRAYS = {
    "brain": {"responses": (SIGNAL.mean((2, 3)) + RANDOM.normal(size=(N, 6)) / 20).astype("f2")},
    "other": {
        "block.2": SIGNAL[:, ::-1, ::2, ::2].astype("f4") + RANDOM.normal(size=(N, 6, 4, 4)).astype("f4"),
        "block.10": (100 * SIGNAL[:, :4].mean((2, 3))).astype("i2"),
    },
    "field": {"a.b": SIGNAL + 1e3, "c": SIGNAL[:, :2, :, :5] ** 2},
}


def maps_of(name):
    arrays = [torch.from_numpy(array.astype("f8")) for array in ARRAYS[name].values()]
    return [array if array.ndim == 4 else array[:, :, None, None] for array in arrays]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a user works: photographs, or nearly."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "photos").mkdir()
    for number in range(N):
        pixels = Image.effect_noise((80, 64), 20 + 5 * number).resize((20, 16)).resize((80, 64))
        picture = Image.merge("RGB", [pixels.rotate(90 * turn + number) for turn in range(3)])
        picture.save(folder / "photos" / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with embedded(tmp_path_factory.mktemp("stack")) as (shell, url), Client(url) as client:
        shell.environment["ROSETTA_URL"] = url
        yield shell, client


@pytest.fixture(scope="module")
def example(stack, folder):
    """The example of the documents, run as it stands; its names."""
    shell, _ = stack
    text = (ROOT / "docs" / "recordings.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ROSETTA_URL", shell.environment["ROSETTA_URL"])
        exec(compile(code, "docs/recordings.md", "exec"), names)
    yield names
    names["client"].close()


@pytest.fixture(scope="module")
def recorded(stack, folder, example):
    """Three recordings in three formats, sent and mined by the command line."""
    shell, client = stack
    digest = client.probe("photos").digest
    np.save(folder / "brain.npy", ARRAYS["brain"]["responses"])
    own = {name: torch.from_numpy(array.copy()) for name, array in ARRAYS["other"].items()}
    save_file(own, folder / "other.safetensors", {"probe_set_digest": digest})
    group = zarr.create_group(folder / "field.zarr")
    for name, array in ARRAYS["field"].items():
        group.create_array(name.replace(".", "/"), data=array, chunks=(1, *array.shape[1:]))
    shutil.make_archive(str(folder / "field"), "zip", folder / "field.zarr")
    shell.run("models", "add", "brain", "--source", f"recording:{folder}/brain.npy?probe=photos")
    client.add_model("other", source=f"recording:{folder}/other.safetensors", progress=False)
    client.add_model("field", source=f"recording:{folder}/field.zip?probe={digest[:12]}", progress=False)
    job = shell.json("mine", "--probe", "photos", "--models", "brain,other,field", "--keep", "50", "--wait")
    assert job["state"] == "done"
    return stack


def check_against(client, model, neighbour, expected):
    """All stored matches of two models have r as expected [A, B]; the best of each unit is the best there is."""
    rows = client.sql(
        "SELECT unit, neighbour_unit, correlation, rank FROM analytics.matches WHERE "
        f"model = '{model}' AND neighbour_model = '{neighbour}'"
    ).to_pandas()
    assert set(rows["unit"]) == set(range(len(expected)))
    found = rows["correlation"].to_numpy()
    assert found == pytest.approx(expected[rows["unit"], rows["neighbour_unit"]].numpy(), abs=1e-4)
    best = rows[rows["rank"] == 1].sort_values("unit")["correlation"].to_numpy()
    assert best == pytest.approx(expected.max(1).values.numpy(), abs=1e-4)
    return rows


@pytest.mark.parametrize("pair", [("brain", "other"), ("other", "field"), ("field", "brain")])
def test_recordings_of_three_formats_have_the_r_of_brute_force(recorded, pair):
    _, client = recorded
    model, neighbour = pair
    expected = pearson_layers(maps_of(model), maps_of(neighbour))
    rows = check_against(client, model, neighbour, expected)
    assert len(rows) == expected.numel()  # all of them were kept


def test_a_recording_and_a_network_have_the_r_of_brute_force(example, folder, stack):
    _, client = stack
    network = registry.load("demo:mobilenet-v2")
    maps = {}
    forward = ForwardPasses(
        probes.ImageProbes(sorted((folder / "photos").iterdir()), 64),
        {"mobilenet": network},
        {"mobilenet": network.layers},
        torch.device("cpu"),
    )
    for _ in forward.run(
        torch.arange(N).split(N), ["mobilenet"], lambda _, layer, m: maps.update({layer: m.contiguous().clone()})
    ):
        pass
    # The maps are resized to the larger grid, which for some layers is the recording's.
    responses = torch.from_numpy(np.load(folder / "colours.npy").astype("f8"))
    assert responses.shape == (N, 3, 8, 8)
    expected = pearson_layers([responses], list(maps.values()))
    check_against(client, "colours", "mobilenet", expected)
    matches = example["matches"]
    assert [match.rank for match in matches] == [1, 2, 3]
    values, index = expected[0].nan_to_num(nan=-1).topk(3)
    assert [match.neighbour_unit for match in matches] == index.tolist()
    assert [match.correlation for match in matches] == pytest.approx(values.tolist(), abs=1e-4)


def test_a_recording_is_asked_about_like_any_model(recorded):
    shell, client = recorded
    expected = pearson_layers(maps_of("brain"), maps_of("other"))
    best = int(expected[2].argmax())
    (row,) = shell.json("match", "brain/responses:2", "--in", "other", "--top", "1")
    assert (row["neighbour_unit"], row["neighbour_layer"]) == (best, "block.2" if best < 6 else "block.10")
    answer = client.ask("which neurons in other match brain unit 2?")
    assert answer.matches[0].neighbour_unit == best
    assert client.ask("how many neurons do brain and other share?").pairs[0].best_buddies > 0
    assert [layer.name for layer in client.model("field").layers] == ["a.b", "c"]
    assert client.model("other").family == "recording"
    digest = client.probe("photos").digest
    recorded_on = dict(client.sql("SELECT model, recorded_on FROM analytics.models"))
    assert digest in shell.run("probes", "show", "photos")
    assert recorded_on == {"mobilenet": None, **dict.fromkeys(("colours", "brain", "other", "field"), digest)}
    tree = shell.run("models", "layers", client.model("field").source)
    assert re.search(r"^ +b +Rows +6 x 8 x 8 +6 +yes$", tree, re.MULTILINE)


def test_what_does_not_fit_is_refused_and_nothing_is_registered(recorded, folder, tmp_path):
    _, client = recorded
    before = [model.name for model in client.models()]
    np.save(tmp_path / "short.npy", np.ones((N - 1, 4)))
    np.save(tmp_path / "full.npy", RANDOM.normal(size=(N, 4)))
    for source, said in (
        (f"{tmp_path}/short.npy?probe=photos", f"{N - 1} images, probe set 'photos' {N}"),
        (f"{tmp_path}/full.npy?probe=fotos", "no probe set 'fotos'; did you mean photos?"),
        (f"{tmp_path}/full.npy", r"add \?probe=DIGEST to the source \(`rosetta probes show NAME` prints it\)"),
    ):
        with pytest.raises(JobFailed, match=said):
            client.add_model("refused", source=f"recording:{source}", progress=False)
    with pytest.raises(InvalidRequest, match=r"a folder is uploaded as a \.zip"):
        client.add_model("refused", source=f"recording:{folder}/field.zarr?probe=photos")
    assert [model.name for model in client.models()] == before


def test_a_recording_waits_for_its_probe_set(recorded, folder):
    _, client = recorded
    some = folder / "some"
    shutil.copytree(folder / "photos", some)
    client.add_probe("some", images=some, size=32, progress=False)  # other images: of another size
    with pytest.raises(InvalidRequest, match=r"recording 'brain' can only be mined on .*'photos'"):
        client.mine(probe="some", models=["brain", "mobilenet"])
    with pytest.raises(InvalidRequest, match="only 'mobilenet' fits probe set 'some'"):
        client.mine(probe="some")
    digest = client.probe("photos").digest
    client.remove_probe("photos")
    with pytest.raises(InvalidRequest, match=f"recording 'brain' can only be mined .*{digest[:12]}, which was removed"):
        client.mine(probe="some", models=["brain", "mobilenet"])
    again = client.add_probe("pictures", images=folder / "photos", size=64, progress=False)
    assert again.digest == digest
    client.mine(probe="pictures", models=["brain", "other"]).wait(progress=False)
    check_against(client, "brain", "other", pearson_layers(maps_of("brain"), maps_of("other")))


@pytest.fixture
def unseen(engine, settings):
    """A probe set whose images are gone."""
    digests = [f"{number:064x}" for number in range(1, N + 1)]
    for digest in digests:
        image_path(settings, digest).parent.mkdir(parents=True, exist_ok=True)
        image_path(settings, digest).write_bytes(b"")
    with engine.begin() as connection:
        add_image_probe(connection, settings, "unseen", [(f"{digest}.png", digest) for digest in digests])
    for digest in digests:
        image_path(settings, digest).unlink()


def test_recordings_alone_need_no_image_and_holes_in_them_are_named(
    engine, settings, worker, celery, unseen, monkeypatch
):
    def never(*_):
        raise AssertionError("an image was opened")

    monkeypatch.setattr(probes, "read_image", never)
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    holes = np.ones((N, 3))
    holes[7, 1] = np.nan
    for name, array in {"a": SIGNAL, "b": SIGNAL.mean((2, 3)), "holes": holes}.items():
        np.save(settings.uploads_dir / f"{name}.npy", array)
        source = f"recording:{name}.npy?probe=unseen"
        worker(submit_register(engine, celery, settings, name=name, source=source))
    worker(submit_mine(engine, celery, settings, probe="unseen", models=["a", "b"]))
    said = rf"model 'holes', layer 'responses' gave NaN or infinity on image '{8:064x}\.png': fill in what was not"
    with pytest.raises(AssertionError, match=said):
        worker(submit_mine(engine, celery, settings, probe="unseen", models=["a", "holes"]))


def test_a_zarr_folder_of_the_service_that_changed_is_noticed(settings, tmp_path):
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    array = zarr.create_array(settings.uploads_dir / "f.zarr", data=np.ones((4, 3)), chunks=(1, 3))
    first = networks.load(settings, "recording:f.zarr?probe=x", None)
    assert networks.load(settings, "recording:f.zarr?probe=x", None, first.weights_digest) is first
    array[2] = 5
    with pytest.raises(InvalidRequest, match=r"weights of recording:f\.zarr\?probe=x are others than when it was"):
        networks.load(settings, "recording:f.zarr?probe=x", None, first.weights_digest)
