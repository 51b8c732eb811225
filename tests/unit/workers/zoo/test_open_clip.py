"""OpenCLIP's image towers, with weight files that the tests write in the published layout."""

import dataclasses
import json

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU, Transformer
from runs import images, maps, shapes
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from workers.zoo import registry
from workers.zoo.open_clip import _map_reader

TEXT = {"context_length": 8, "vocab_size": 16, "width": 64, "heads": 1, "layers": 2}
VISION = {
    "RN-tiny": {"image_size": 64, "layers": [1, 1, 2, 1], "width": 16, "head_width": 32, "patch_size": None},
    "ViT-tiny": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "ViT-wide": {"image_size": [32, 64], "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "timm-tiny": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear"},
}


@pytest.fixture(scope="module", autouse=True)
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    for name, vision in VISION.items():
        config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def save(tmp_path, name, **options):
    torch.manual_seed(0)
    model = open_clip.create_model(name, load_weights=False, **options).eval()
    file = tmp_path / "open_clip_model.safetensors"
    save_file(model.state_dict(), file)
    return model, file


EXPECTED = {
    "RN-tiny": {
        "visual.layer1": (64, 16, 16), "visual.layer2": (128, 8, 8),
        "visual.layer3": (256, 4, 4), "visual.layer4": (512, 2, 2),
    },
    "ViT-tiny": {f"visual.transformer.resblocks.{i}.mlp.gelu": (256, 4, 4) for i in range(2)},
    "ViT-wide": {f"visual.transformer.resblocks.{i}.mlp.gelu": (256, 2, 4) for i in range(2)},
    "timm-tiny": {f"visual.trunk.blocks.{i}.mlp.act": (192, 10, 10) for i in range(6)},
}  # fmt: skip


@pytest.mark.parametrize("name", VISION)
def test_the_image_tower_alone(tmp_path, name):
    model, file = save(tmp_path, name)
    network = registry.load(f"open_clip:{name}", file)
    assert shapes(network) == EXPECTED[name]
    assert network.family == "clip"
    assert "clip" in network.aliases
    assert all(key.startswith("visual.") for key in network.module.state_dict())
    batch = images(network)
    with torch.inference_mode():
        assert torch.allclose(network.module(batch), model.encode_image(batch), atol=1e-6)


def test_a_checkpoint_of_a_training_run(tmp_path):
    model, _ = save(tmp_path, "ViT-tiny")
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, tmp_path / "epoch_3.pt")
    network = registry.load("open_clip:ViT-tiny", tmp_path / "epoch_3.pt")
    assert torch.equal(network.module.visual.proj, model.visual.proj)


def test_a_custom_text_tower_and_an_image_tower_alone(tmp_path):
    model, file = save(tmp_path, "ViT-tiny", force_custom_text=True)
    assert torch.equal(registry.load("open_clip:ViT-tiny", file).module.visual.proj, model.visual.proj)
    save_file(model.visual.state_dict(), file)
    assert torch.equal(registry.load("open_clip:ViT-tiny", file).module.visual.proj, model.visual.proj)


@pytest.mark.parametrize("name", ["ViT-tiny", "ViT-wide"])
def test_a_transformer_that_runs_tokens_first(tmp_path, name):
    _model, file = save(tmp_path, name)
    network = registry.load(f"open_clip:{name}", file)
    batch = images(network, 3)
    expected = maps(network, batch)
    visual = network.module.visual
    tokens_first = Transformer(width=64, layers=2, heads=2, mlp_ratio=4.0, batch_first=False).eval()
    tokens_first.load_state_dict(visual.transformer.state_dict())
    visual.transformer = tokens_first
    reader = _map_reader(visual, network.preprocessing.height, network.preprocessing.width)
    found = maps(dataclasses.replace(network, to_maps=reader), batch)
    assert found.keys() == expected.keys()
    for layer, value in expected.items():
        assert torch.allclose(found[layer], value, atol=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
def test_tokens_in_either_order(tmp_path, batch_first):
    _model, file = save(tmp_path, "ViT-tiny")
    network = registry.load("open_clip:ViT-tiny", file)
    layer = "visual.transformer.resblocks.0.mlp.gelu"
    batch = images(network, 3)
    expected = maps(network, batch)[layer]
    tokens = torch.cat([torch.zeros(3, 1, 256), expected.flatten(2).transpose(1, 2)], dim=1)
    network.module.visual.transformer.batch_first = batch_first
    reader = _map_reader(network.module.visual, 64, 64)
    assert torch.equal(reader(layer, tokens if batch_first else tokens.transpose(0, 1)), expected)


def test_openai_weights_have_their_own_gelu(tmp_path):
    torch.manual_seed(0)
    config = open_clip.get_model_config("ViT-B-32")
    assert open_clip.get_pretrained_cfg("ViT-B-32", "openai")["quick_gelu"]
    from workers.zoo.open_clip import _build

    with torch.device("meta"):
        quick = _build(config, open_clip.get_pretrained_cfg("ViT-B-32", "openai"))
        plain = _build(config, open_clip.get_pretrained_cfg("ViT-B-32", "laion2b_s34b_b79k"))
    assert type(quick.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert type(plain.visual.transformer.resblocks[0].mlp.gelu).__name__ == "GELU"


def test_preprocessing_is_the_pretrainings_own(tmp_path):
    _, file = save(tmp_path, "ViT-tiny")
    preprocessing = registry.load("open_clip:ViT-tiny", file).preprocessing
    assert preprocessing.mean == open_clip.OPENAI_DATASET_MEAN
    assert (preprocessing.height, preprocessing.width, preprocessing.interpolation) == (64, 64, "bicubic")


def test_a_file_of_another_architecture_is_refused(tmp_path):
    _, file = save(tmp_path, "RN-tiny")
    with pytest.raises(InvalidRequest, match="does not fit the image tower of ViT-tiny: missing class_embedding"):
        registry.load("open_clip:ViT-tiny", file)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("open_clip:RN51/openai", "OpenCLIP has no model 'RN51': did you mean RN50"),
        ("open_clip:RN50/none", "has no pretraining 'none' of RN50: write open_clip:RN50/TAG with one of openai"),
        ("open_clip:RN50", "has several pretrainings of RN50: write open_clip:RN50/TAG"),
        ("open_clip:ViT-tiny", "OpenCLIP publishes no weights of ViT-tiny: pass --weights FILE"),
        ("open_clip:hf-hub:a/b", "OpenCLIP has no model 'hf-hub:a'"),
    ],
)
def test_unknown_names(source, message):
    with pytest.raises(InvalidRequest, match=message):
        registry.load(source)


class Archive(torch.nn.Module):
    """What OpenAI's archives hold: both towers, and three numbers beside them."""

    def __init__(self, model):
        super().__init__()
        self.visual = model.visual
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(64))
        self.token_embedding = torch.nn.Embedding(16, 64)
        self.logit_scale = torch.nn.Parameter(torch.tensor(4.6))

    def forward(self, images):
        return self.visual(images)


@pytest.mark.parametrize("name", ["RN-tiny", "ViT-tiny"])
@pytest.mark.filterwarnings("ignore")  # of torch.jit, which is on its way out, and of tracing
def test_openais_own_archive(tmp_path, name):
    model, _ = save(tmp_path, name)
    file = tmp_path / "openai.pt"
    torch.jit.trace(Archive(model).half(), torch.zeros(1, 3, 64, 64).half(), check_trace=False).save(str(file))
    network = registry.load(f"open_clip:{name}/openai", file)
    for key, value in model.visual.state_dict().items():
        assert torch.equal(network.module.visual.state_dict()[key], value.float())
    assert shapes(network) == EXPECTED[name]
    named_nothing = registry.load(f"open_clip:{name}", file)
    gelus = [module for module in named_nothing.module.modules() if isinstance(module, torch.nn.GELU)]
    quick = [module for module in named_nothing.module.modules() if isinstance(module, QuickGELU)]
    assert not gelus
    assert len(quick) == (0 if name == "RN-tiny" else 2)


def test_openais_file_lies_in_a_weights_folder_under_its_own_name(tmp_path):
    model = open_clip.create_model("RN50", load_weights=False, precision="fp16")
    state = {key: value for key, value in model.state_dict().items() if key.startswith("visual.")}
    torch.save(state, tmp_path / "RN50.pt")
    network = registry.load("open_clip:RN50/openai", folders=[tmp_path])
    assert torch.equal(network.module.visual.layer4[2].conv3.weight, state["visual.layer4.2.conv3.weight"].float())


REAL = {
    # Layers, units, and keys of OpenAI's published files.
    "RN50": (4, 256 + 512 + 1024 + 2048, ("visual.layer4.2.conv3.weight", "visual.attnpool.positional_embedding")),
    "RN50x4": (4, 15 * 320, ("visual.layer3.9.bn3.running_var", "visual.attnpool.c_proj.weight")),
    "convnext_base": (
        4,
        128 + 256 + 512 + 1024,
        ("visual.trunk.stages.3.blocks.2.mlp.fc1.weight", "visual.head.proj.weight"),
    ),
    "ViT-B-16-SigLIP": (12, 12 * 3072, ("visual.trunk.blocks.11.mlp.fc1.weight", "visual.trunk.attn_pool.kv.weight")),
    "ViT-B-32": (12, 12 * 3072, ("visual.class_embedding", "visual.transformer.resblocks.11.mlp.c_fc.weight")),
    "ViT-B-16": (12, 12 * 3072, ("visual.conv1.weight", "visual.proj", "visual.ln_pre.weight")),
}


@pytest.mark.parametrize("name", REAL)
def test_real_sizes(tmp_path, name):
    layers, units, keys = REAL[name]
    model = open_clip.create_model(name, load_weights=False, precision="fp16")
    texts = ("transformer.", "text.transformer.")
    state = {key: value for key, value in model.state_dict().items() if not key.startswith(texts)}
    assert set(keys) <= state.keys()
    save_file(state, tmp_path / "w.safetensors")
    network = registry.load(f"open_clip:{name}", tmp_path / "w.safetensors")
    found = shapes(network)
    assert len(found) == layers
    assert sum(shape[0] for shape in found.values()) == units
