"""The source `biggan:`, with weight files that the tests write in the published layout."""

import json

import biggan_reference as reference
import pytest
import torch
from biggan_files import CONFIG, STATE, load, write
from runs import maps
from safetensors.torch import save_file
from torch import nn

from rosetta.errors import InvalidRequest
from workers.pipelines.forward import ForwardPasses
from workers.pipelines.layers import trace
from workers.probes import GeneratorProbes
from workers.zoo import biggan, hub, registry
from workers.zoo.base import Latents, Network, Preprocessing
from workers.zoo.biggan_modules import BigGAN
from workers.zoo.maps import plain_maps


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return load(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def _offline(tmp_path, monkeypatch):
    def unreachable(*arguments, **options):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)


def test_shapes_and_latents(network):
    found = {shape.name: (shape.channels, shape.height) for shape in trace(network, network.layers, "tiny")}
    assert found["generator.layers.1.relu_0"] == (64, 4)
    assert found["generator.layers.1.relu_1"] == (16, 4)  # doubled after it
    assert found["generator.layers.1.relu_2"] == (16, 8)
    assert found["generator.relu"] == (4, 32)
    space = network.latents
    assert (space.dimensions, space.classes, space.height, space.width, space.styles) == (3, 5, 32, 32, None)
    assert network.family == "biggan"
    assert network.aliases == ("tiny", "biggan")


def test_without_truncation_the_statistics_are_those_of_one(network):
    values, classes = torch.randn(2, 3), torch.tensor([0, 4])
    assert network.inputs(Latents(values, classes=classes))[2] == 1
    plain, cut = (
        network.module(*network.inputs(Latents(values, classes=classes, truncation=truncation)))
        for truncation in (1.0, 0.2)
    )
    assert torch.equal(network.module(*network.inputs(Latents(values, classes=classes))), plain)
    assert (plain - cut).abs().max() > 0.01


@pytest.mark.parametrize("truncation", [None, 0.55])
def test_an_image_does_not_depend_on_its_batch(network, truncation):
    probes = GeneratorProbes(network, seed=0, count=4, truncation=truncation)
    together = maps(network, *network.inputs(probes.latents(range(4))))
    alone = maps(network, *network.inputs(probes.latents([2])))
    for layer in network.layers:
        torch.testing.assert_close(together[layer][2:3], alone[layer], rtol=1e-4, atol=1e-4)


def test_the_generator_and_an_image_network_in_one_pass(network):
    torch.manual_seed(0)
    eyes = Network(
        module=nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU()).eval().requires_grad_(False), layers=("1",),
        weights_digest="0", family="eyes", preprocessing=Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3),
    )  # fmt: skip
    probes = GeneratorProbes(network, seed=0, count=5, truncation=0.5)
    layers = {"gan": network.layers, "eyes": eyes.layers}
    passes = ForwardPasses(probes, {"gan": network, "eyes": eyes}, layers, torch.device("cpu"))
    seen = []
    splits = torch.arange(5).split(2)
    list(passes.run(splits, ["gan", "eyes"], lambda model, layer, found: seen.append((model, layer, len(found)))))
    expected = [(name, layer) for name in layers for layer in layers[name]]
    assert seen == [(*pair, count) for count in (2, 2, 1) for pair in expected]


@pytest.mark.parametrize("name", ["biggan-deep-128", "biggan-deep-256", "biggan-deep-512"])
def test_the_published_sizes(tmp_path, name):
    sizes = biggan._architecture(name, tmp_path / "pytorch_model.bin")
    with torch.device("meta"):
        module = BigGAN(sizes)
    config = {
        "layers": sizes.layers, "attention_layer_position": 8, "n_stats": 51,
        "z_dim": 128, "channel_width": 128, "num_classes": 1000,
    }  # fmt: skip
    found = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    assert found == reference.published_shapes(config)
    assert sizes.side == int(name[-3:])
    assert sizes.eps == 1e-4
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert round(parameters / 1e6, 1) == {128: 50.4, 256: 55.9, 512: 56.2}[sizes.side]  # as its README says
    attention = module.generator.layers[8]
    assert attention.gamma.shape == (1,)
    assert 4 * 2 ** sum(block.doubles for block in module.generator.layers[:8]) == 64  # the paper's place for it


def test_a_file_of_the_real_size(tmp_path):
    """Its tensors are one number each, spread out: the file is small, and what is loaded is of the real size."""
    config = {**CONFIG, "z_dim": 128, "channel_width": 128, "num_classes": 1000, "n_stats": 51}
    config["layers"] = biggan._PUBLISHED["biggan-deep-128"].layers
    config["attention_layer_position"] = 8
    state = {key: torch.ones(()).expand(shape) for key, shape in reference.published_shapes(config).items()}
    file = write(tmp_path, state, config=None)
    network = registry.load("biggan:biggan-deep-128", file)
    shapes = trace(network, network.layers, "deep")
    assert len(shapes) == 40
    assert sum(shape.channels for shape in shapes) == 128 * (3 * 92 // 4 + 92 - 16 + 1)
    assert (shapes[0].channels, shapes[-1].channels, shapes[-1].height) == (512, 128, 128)
    assert (network.latents.dimensions, network.latents.classes, network.latents.height) == (128, 1000, 128)
    assert network.aliases == ("biggan-deep-128", "biggan deep 128", "biggan")


def test_the_places_of_a_published_file(tmp_path, network):
    """As the folder of `from_pretrained`, as the files are called on the server, and with safetensors."""
    expected = network.module.state_dict()
    write(tmp_path / "a" / "biggan-deep-128")
    (tmp_path / "b").mkdir()
    torch.save(STATE, tmp_path / "b" / "biggan-deep-128-pytorch_model.bin")
    (tmp_path / "b" / "biggan-deep-128-config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "b" / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))  # of something else
    (tmp_path / "c" / "mine").mkdir(parents=True)
    save_file(STATE, tmp_path / "c" / "mine" / "model.safetensors")
    (tmp_path / "c" / "mine" / "config.json").write_text(json.dumps(CONFIG))
    for source, folder in (("biggan-deep-128", "a"), ("biggan-deep-128", "b"), ("mine", "c")):
        loaded = registry.load(f"biggan:{source}", folders=[tmp_path / folder])
        assert torch.equal(loaded.module.generator.gen_z.weight, expected["generator.gen_z.weight"])
    given = registry.load("biggan:other", tmp_path / "a" / "biggan-deep-128" / "pytorch_model.bin")
    assert torch.equal(given.module.embeddings.weight, expected["embeddings.weight"])


@pytest.mark.usefixtures("_offline")
def test_offline_one_line_says_which_file_to_put_where(tmp_path):
    with pytest.raises(InvalidRequest) as caught:
        registry.load("biggan:biggan-deep-256", folders=[tmp_path])
    place = tmp_path / "biggan-deep-256-pytorch_model.bin"
    assert f"put the file at {place}, or pass --weights FILE with the weights of biggan-deep-256" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_weights_are_refused(tmp_path):
    renamed = {key: tensor for key, tensor in STATE.items() if key != "generator.gen_z.weight_u"} | {"x": torch.ones(1)}
    with pytest.raises(
        InvalidRequest, match=r"'pytorch_model.bin' does not fit tiny: missing generator.gen_z.weight_u; unexpected x"
    ):
        registry.load("biggan:tiny", write(tmp_path / "a", renamed))
    file = write(tmp_path / "b", STATE, config=None)
    with pytest.raises(InvalidRequest, match=r"does not fit biggan-deep-128: missing generator.layers.2.bn_0"):
        registry.load("biggan:biggan-deep-128", file)
    with pytest.raises(InvalidRequest, match=r"no published BigGAN 'tiny' and no config.json of one beside"):
        registry.load("biggan:tiny", file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": [[False, 16, 16], [True, 8, 8]]}, "a block takes 8 channels of the 16 that the one before it"),
        ({"layers": []}, "it needs blocks"),
        ({"layers": 3}, "no configuration of BigGAN-deep"),
        ({"z_dim": -1}, "-1 is no size"),
        ({"channel_width": 10**9}, "1000000000 is no size"),
        ({"num_classes": "many"}, "'many' is no size"),
        ({"eps": []}, "no configuration of BigGAN-deep"),
    ],
)
def test_a_broken_configuration_is_refused(tmp_path, change, message):
    file = write(tmp_path, config={**CONFIG, **change})
    with pytest.raises(InvalidRequest, match=message):
        registry.load("biggan:tiny", file)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidRequest, match=r"'config.json' beside the weights is no configuration of BigGAN-deep"):
        registry.load("biggan:tiny", file)


def test_a_configuration_may_ask_for_any_memory_and_gets_none(tmp_path):
    file = write(tmp_path, config={**CONFIG, "channel_width": 60_000, "z_dim": 60_000})
    with pytest.raises(
        InvalidRequest, match=r"does not fit tiny: embeddings.weight is \[3, 5\], expected \[60000, 5\]"
    ):
        registry.load("biggan:tiny", file)


@pytest.mark.parametrize("name", ["biggan-deep-64", "../tiny", "", "a/b"])
def test_other_names_get_the_list(tmp_path, name):
    write(tmp_path / "tiny")
    with pytest.raises(InvalidRequest, match="with one of biggan-deep-128, biggan-deep-256, biggan-deep-512"):
        registry.load(f"biggan:{name}", folders=[tmp_path / "folder"])
    with pytest.raises(InvalidRequest, match="a source biggan: has no option 'size'"):
        registry.load("biggan:biggan-deep-256?size=3")


def test_images_and_maps(network):
    assert network.to_maps is plain_maps
    assert torch.equal(network.images(torch.tensor([[-1.0, 0, 1]])), torch.tensor([[0, 0.5, 1]]))
