"""Networks that someone published on the hub in timm's format."""

import json

import huggingface_hub
import pytest
import timm
import torch
from runs import images, shapes
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from workers.zoo import registry

torch.set_num_threads(2)


def published(folder, module, config):
    """A repository of the hub in a weights folder."""
    place = folder / "someone" / "their-net"
    place.mkdir(parents=True)
    save_file(module.state_dict(), place / "model.safetensors")
    (place / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))


CONFIG = {
    "architecture": "test_vit",
    "num_classes": 5,
    "num_features": 64,
    "global_pool": "avg",
    "model_args": {"img_size": 96, "global_pool": "avg", "act_layer": "relu"},
    "pretrained_cfg": {
        "tag": "mine_in5",
        "input_size": [3, 96, 96],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
        "interpolation": "bilinear",
        "fixed_input_size": True,
        "classifier": "head",
        "license": "mit",
        "file": "/etc/passwd",
        "url": "http://elsewhere/weights.pth",
        "hf_hub_id": "elsewhere/other",
    },
}


def test_a_network_of_the_hub_by_its_own_configuration(tmp_path):
    torch.manual_seed(0)
    module = timm.create_model("test_vit", num_classes=5, img_size=96, global_pool="avg", act_layer="relu").eval()
    published(tmp_path, module, CONFIG)
    network = registry.load("timm:hf-hub:someone/their-net", folders=[tmp_path])
    assert network.preprocessing.mean == (0.1, 0.2, 0.3)
    assert network.preprocessing.interpolation == "bilinear"
    assert network.aliases[0] == "someone/their-net"
    assert network.details == {"architecture": "test_vit", "classes": 5, "licence": "mit"}
    assert set(shapes(network).values()) == {(192, 6, 6)}
    batch = images(network)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch))


def changed(**model_args):
    return {**CONFIG, "model_args": model_args}


@pytest.mark.parametrize(
    ("reference", "config", "message"),
    [
        (
            "someone/their-net",
            {**CONFIG, "architecture": "local-dir:/etc"},
            "timm has no architecture 'local-dir:/etc'",
        ),
        ("someone/their-net", {**CONFIG, "architecture": "hf-hub:a/b"}, "timm has no architecture 'hf-hub:a/b'"),
        (
            "someone/their-net",
            {"architectures": ["BertModel"]},
            "the config.json of someone/their-net is not one of timm",
        ),
        ("someone/their-net", "[1]", "is not one of timm"),
        ("someone/their-net", "not JSON", "is not one of timm"),
        ("someone/their-net", {**CONFIG, "pretrained_cfg": {"mean": ["a", 1, 2]}}, "is not one of timm"),
        ("someone/their-net", {**CONFIG, "pretrained_cfg": {"input_size": [1]}}, "is not one of timm"),
        (
            "someone/their-net",
            changed(checkpoint_path="weights"),
            "the argument 'checkpoint_path', which is no number or",
        ),
        ("someone/their-net", changed(pretrained=True), "the argument 'pretrained', which is no number or word"),
        ("someone/their-net", changed(features_only=True), "the argument 'features_only'"),
        ("someone/their-net", changed(norm_layer="../x"), "the argument 'norm_layer'"),
        ("someone/their-net", changed(attn_layer={"a": 1}), "the argument 'attn_layer'"),
        ("someone/their-net", changed(wings=2), "test_vit cannot be built: .*wings"),
        ("../their-net", CONFIG, r"'../their-net' is no repository: write timm:hf-hub:OWNER/NAME"),
        ("their-net", CONFIG, "'their-net' is no repository"),
        ("someone/their-net/..", CONFIG, "is no repository"),
    ],
)
def test_configurations_that_ask_for_more(tmp_path, reference, config, message):
    module = timm.create_model("test_vit", num_classes=5, img_size=96)
    published(tmp_path, module, config)
    with pytest.raises(InvalidRequest, match=message) as caught:
        registry.load(f"timm:hf-hub:{reference}", folders=[tmp_path])
    assert "\n" not in caught.value.message


def test_a_given_file_needs_the_configuration_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    save_file(timm.create_model("test_vit", num_classes=5).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(
        InvalidRequest, match=r"'config.json' of nobody/nothing .*put the file at .*nobody/nothing/config"
    ):
        registry.load("timm:hf-hub:nobody/nothing", tmp_path / "w.safetensors", folders=[tmp_path])
