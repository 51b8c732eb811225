"""timm architectures, with weight files that the tests write."""

import pytest
import timm
import torch
from runs import images, maps, shapes
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from workers.zoo import registry
from workers.zoo import timm as source

torch.set_num_threads(2)


def save(tmp_path, architecture, **arguments):
    torch.manual_seed(0)
    module = timm.create_model(architecture, **arguments).eval()
    file = tmp_path / f"{architecture}.safetensors"
    save_file(module.state_dict(), file)
    return module, file


EXPECTED = {
    "test_resnet": {
        f"layer{i}": shape for i, shape in enumerate([(32, 40, 40), (48, 20, 20), (192, 10, 10), (96, 5, 5)], 1)
    },
    "test_convnext": {
        f"stages.{i}": shape for i, shape in enumerate([(24, 40, 40), (32, 20, 20), (48, 10, 10), (64, 5, 5)])
    },
    "test_vit": {f"blocks.{i}.mlp.act": (192, 10, 10) for i in range(6)},
}


@pytest.mark.parametrize("architecture", EXPECTED)
def test_default_layers_and_their_maps(tmp_path, architecture):
    module, file = save(tmp_path, architecture)
    network = registry.load(f"timm:{architecture}", file)
    assert shapes(network) == EXPECTED[architecture]
    batch = images(network)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch))
    assert not network.module.training
    assert not any(parameter.requires_grad for parameter in network.module.parameters())
    assert "state_dict" not in network.module.pretrained_cfg


def test_swins_channels_come_second(tmp_path):
    module, file = save(tmp_path, "swin_tiny_patch4_window7_224")
    network = registry.load("timm:swin_tiny_patch4_window7_224", file)
    assert shapes(network) == {
        "layers.0": (96, 56, 56), "layers.1": (192, 28, 28), "layers.2": (384, 14, 14), "layers.3": (768, 7, 7)
    }  # fmt: skip
    batch = images(network, 1)
    with torch.inference_mode():
        expected = module.norm(module.layers(module.patch_embed(batch)))
        assert torch.equal(maps(network, batch, layers=("norm",))["norm"], expected.permute(0, 3, 1, 2))


def test_a_vits_maps_are_its_tokens_without_the_class_token(tmp_path):
    module, file = save(tmp_path, "test_vit")
    network = registry.load("timm:test_vit", file)
    batch = images(network)
    with torch.inference_mode():
        expected = module.forward_intermediates(batch, indices=[0], norm=False, intermediates_only=True)[0]
    assert torch.equal(maps(network, batch, layers=("blocks.0",))["blocks.0"], expected)


def test_a_grid_that_is_not_square():
    module = timm.create_model("test_vit", img_size=(96, 160)).eval()
    reader = source.map_reader(module, 96, 160)
    assert reader("x", torch.rand(2, 61, 8)).shape == (2, 8, 6, 10)


@pytest.mark.parametrize("classes", [1000, 7])
def test_the_classifier_is_the_files_own(tmp_path, classes):
    module, file = save(tmp_path, "test_resnet", num_classes=classes)
    network = registry.load("timm:test_resnet", file)
    assert network.details["classes"] == classes
    batch = images(network)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch))


def test_without_a_classifier_in_the_file_there_is_none(tmp_path):
    module, _ = save(tmp_path, "test_vit")
    state = {key: value for key, value in module.state_dict().items() if not key.startswith("head.")}
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "w.pth")
    network = registry.load("timm:test_vit", tmp_path / "w.pth")
    assert network.details["classes"] == "none: the weights came without a classifier"
    assert torch.equal(network.module.blocks[0].mlp.fc1.weight, module.blocks[0].mlp.fc1.weight)


def test_a_file_of_another_architecture_is_refused(tmp_path):
    _, file = save(tmp_path, "test_convnext")
    with pytest.raises(
        InvalidRequest, match=r"'test_convnext.safetensors' does not fit test_resnet: missing conv1"
    ) as e:
        registry.load("timm:test_resnet", file)
    assert "\n" not in e.value.message


def test_a_file_with_another_width_is_refused(tmp_path):
    module, file = save(tmp_path, "test_resnet")
    state = module.state_dict()
    state["layer2.0.conv1.weight"] = torch.ones(3, 3, 1, 1)
    save_file(state, file)
    with pytest.raises(InvalidRequest, match=r"layer2.0.conv1.weight is \[3, 3, 1, 1\], expected \["):
        registry.load("timm:test_resnet", file)


def test_preprocessing_is_timms_own(tmp_path):
    _, file = save(tmp_path, "test_vit")
    preprocessing = registry.load("timm:test_vit.r160_in1k", file).preprocessing
    assert (preprocessing.height, preprocessing.width) == (160, 160)
    assert preprocessing.mean == (0.5, 0.5, 0.5)
    assert preprocessing.interpolation == "bicubic"


@pytest.mark.parametrize(
    ("reference", "family"),
    [
        ("resnet50.a1_in1k", "resnet"),
        ("wide_resnet50_2.tv_in1k", "resnet"),
        ("resnext50_32x4d.a1_in1k", "resnext"),
        ("tf_efficientnet_lite0.in1k", "efficientnet"),
        ("mobilenetv2_100.ra_in1k", "mobilenet"),
        ("mobilenetv3_small_050.lamb_in1k", "mobilenet"),
        ("convnextv2_atto.fcmae", "mae"),
        ("convnext_atto.d2_in1k", "convnext"),
        ("swinv2_tiny_window8_256.ms_in1k", "swin"),
        ("vit_tiny_patch16_224.augreg_in21k", "vit"),
        ("vit_small_patch16_224.dino", "dino"),
        ("vit_base_patch16_224.mae", "mae"),
        ("vit_base_patch16_clip_224.openai", "clip"),
        ("deit_tiny_patch16_224.fb_in1k", "deit"),
        ("regnety_002.pycls_in1k", "regnet"),
    ],
)
def test_families(reference, family):
    architecture, _, tag = reference.partition(".")
    with torch.device("meta"):
        module = timm.create_model(architecture)
    assert source.family(module, architecture, tag) == family


def test_unknown_names_get_the_nearest():
    with pytest.raises(InvalidRequest, match="no architecture 'resnet5o': did you mean resnet50"):
        registry.load("timm:resnet5o")
    with pytest.raises(InvalidRequest, match=r"no weights 'a9_in1k' of resnet34: write one of .*resnet34.a1_in1k"):
        registry.load("timm:resnet34.a9_in1k")


def test_an_unknown_tag_does_not_matter_with_a_file(tmp_path):
    _, file = save(tmp_path, "test_vit")
    assert registry.load("timm:test_vit.mine", file).family == "vit"


def test_every_default_layer_exists():
    """The rule, over architectures of every kind; nothing is computed."""
    names = [
        "densenet121", "vgg11", "regnety_002", "inception_v3", "mixer_s32_224", "xcit_nano_12_p16_224",
        "swinv2_cr_tiny_224", "eva02_tiny_patch14_224", "levit_128s", "pvt_v2_b0", "cait_xxs24_224",
        "mvitv2_tiny", "twins_pcpvt_small", "hrnet_w18_small", "convmixer_768_32", "hiera_tiny_224",
    ]  # fmt: skip
    for name in names:
        with torch.device("meta"):
            module = timm.create_model(name)
        layers = source.default_layers(module)
        assert layers, name
        assert set(layers) <= {path for path, _ in module.named_modules()}, name
