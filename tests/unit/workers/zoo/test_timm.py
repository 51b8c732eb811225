"""timm architectures, with weight files that the tests write."""

import pytest
import timm
import torch
from runs import images, maps, shapes
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from workers.mining.activations import Recorder
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


def real(name, size=None, layers=None):
    """The network at its real size, without numbers, and {layer: shape} of its maps."""
    with torch.device("meta"):
        module = timm.create_model(name, **({"img_size": size} if size else {})).eval()
    network = source.network(module, name, "", size)
    found = {}

    def keep(layer, output):
        found[layer] = tuple(network.to_maps(layer, output).shape[1:])

    taken = network.preprocessing
    with torch.inference_mode(), Recorder(module, layers or network.layers, keep) as recorder:
        recorder.run(torch.empty(1, 3, taken.height, taken.width, device="meta"))
    return network, found


def stages(name, *rows):
    return {name.format(index): row for index, row in enumerate(rows)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", {f"layer{i}": (128 << i, 112 >> i, 112 >> i) for i in range(1, 5)}),
        ("resnet18.a1_in1k", {f"layer{i}": (32 << i, 112 >> i, 112 >> i) for i in range(1, 5)}),
        ("resnetv2_50x1_bit.goog_in21k", {f"stages.{i}": (256 << i, 56 >> i, 56 >> i) for i in range(4)}),
        ("regnety_002.pycls_in1k", {"s1": (24, 56, 56), "s2": (56, 28, 28), "s3": (152, 14, 14), "s4": (368, 7, 7)}),
        ("vit_base_patch16_224.augreg_in1k", stages("blocks.{}.mlp.act", *[(3072, 14, 14)] * 12)),
        ("vit_small_patch16_224.dino", stages("blocks.{}.mlp.act", *[(1536, 14, 14)] * 12)),
        ("vit_small_patch8_224.dino", stages("blocks.{}.mlp.act", *[(1536, 28, 28)] * 12)),
        ("vit_base_patch16_224.mae", stages("blocks.{}.mlp.act", *[(3072, 14, 14)] * 12)),
        ("vit_base_patch16_clip_224.openai", stages("blocks.{}.mlp.act", *[(3072, 14, 14)] * 12)),
        ("vit_small_patch14_reg4_dinov2.lvd142m", stages("blocks.{}.mlp.act", *[(1536, 37, 37)] * 12)),
        ("cait_xxs24_224", stages("blocks.{}.mlp.act", *[(768, 14, 14)] * 24)),
        ("convnext_tiny.fb_in1k", stages("stages.{}", *[(96 << i, 56 >> i, 56 >> i) for i in range(4)])),
        ("swin_tiny_patch4_window7_224.ms_in1k", stages("layers.{}", *[(96 << i, 56 >> i, 56 >> i) for i in range(4)])),
        ("swinv2_tiny_window8_256.ms_in1k", stages("layers.{}", *[(96 << i, 64 >> i, 64 >> i) for i in range(4)])),
        (
            "efficientnet_b0.ra_in1k",
            {
                **{"blocks.0": (16, 112, 112), "blocks.1": (24, 56, 56), "blocks.2": (40, 28, 28)},
                **{"blocks.4": (112, 14, 14), "blocks.6": (320, 7, 7)},
            },
        ),
    ],
)
def test_the_papers_layers_at_real_sizes(name, expected):
    assert real(name)[1] == expected


def test_units_of_the_paper():
    assert sum(shape[0] for shape in real("resnet50")[1].values()) == 3840
    assert sum(shape[0] for shape in real("vit_base_patch16_224")[1].values()) == 36864


@pytest.mark.parametrize(
    ("name", "mean", "size"),
    [
        ("resnet50.a1_in1k", 0.485, 224),
        ("vit_base_patch16_224.augreg_in1k", 0.5, 224),
        ("vit_base_patch16_clip_224.openai", 0.48145466, 224),
        ("vit_small_patch14_reg4_dinov2.lvd142m", 0.485, 518),
        ("swinv2_tiny_window8_256.ms_in1k", 0.485, 256),
    ],
)
def test_images_as_each_pretraining_saw_them(name, mean, size):
    with torch.device("meta"):
        preprocessing = source.network(timm.create_model(name), name, "").preprocessing
    assert (preprocessing.mean[0], preprocessing.height, preprocessing.width) == (mean, size, size)
    assert preprocessing.interpolation == "bicubic"


@pytest.mark.parametrize(
    ("name", "size", "layer", "shape"),
    [
        ("vit_small_patch16_224.dino", (224, 448), "blocks.3.mlp.act", (1536, 14, 28)),
        ("vit_small_patch14_reg4_dinov2.lvd142m", (140, 98), "blocks.3.mlp.act", (1536, 10, 7)),
        ("swin_tiny_patch4_window7_224.ms_in1k", (224, 448), "layers.2", (384, 14, 28)),
        ("swin_tiny_patch4_window7_224.ms_in1k", (448, 224), "layers.3.blocks.0.mlp.act", (3072, 14, 7)),
    ],
)
def test_real_grids_that_are_not_square(name, size, layer, shape):
    assert real(name, size, (layer,))[1] == {layer: shape}


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


def test_a_vit_on_images_that_are_not_square(tmp_path):
    """Position embeddings are resampled as timm does it; the maps have the images' ratio."""
    module, file = save(tmp_path, "test_vit")
    network = registry.load("timm:test_vit?size=96x160", file)
    assert (network.preprocessing.height, network.preprocessing.width) == (96, 160)
    assert set(shapes(network).values()) == {(192, 6, 10)}
    module.set_input_size((96, 160))
    batch = images(network)
    with torch.inference_mode():
        expected = module.forward_intermediates(batch, indices=[2], norm=False, intermediates_only=True)[0]
    assert torch.allclose(maps(network, batch, layers=("blocks.2",))["blocks.2"], expected, atol=1e-6)


@pytest.mark.parametrize(("architecture", "layer"), [("test_resnet", "layer2"), ("test_convnext", "stages.1")])
def test_convolutions_only_see_larger_images(tmp_path, architecture, layer):
    module, file = save(tmp_path, architecture)
    network = registry.load(f"timm:{architecture}?size=64x128", file)
    (_, height, width), batch = shapes(network, (layer,))[layer], images(network)
    assert (height, width) == (8, 16)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("test_vit?size=8", r"test_vit cannot take images of 8x8 \(.*\): give another size"),
        ("test_resnet?size=big", "'big' is no size: write size=224 or size=HEIGHTxWIDTH"),
        ("test_resnet?mean=0.5", "a source timm: has no option 'mean': it knows size"),
    ],
)
def test_sizes_that_cannot_be(tmp_path, asked, message):
    _, file = save(tmp_path, asked.partition("?")[0])
    with pytest.raises(InvalidRequest, match=message) as caught:
        registry.load(f"timm:{asked}", file)
    assert "\n" not in caught.value.message


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


@pytest.mark.parametrize("classes", [7, 0])
def test_all_of_a_network_comes_from_the_file(tmp_path, classes):
    """Also where the classifier has another size than timm knows."""
    module, file = save(tmp_path, "test_vit", num_classes=classes)
    state = module.state_dict()
    del state["blocks.3.mlp.fc1.weight"]
    save_file(state, file)
    with pytest.raises(InvalidRequest, match=r"does not fit test_vit: missing blocks.3.mlp.fc1.weight"):
        registry.load("timm:test_vit", file)


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
