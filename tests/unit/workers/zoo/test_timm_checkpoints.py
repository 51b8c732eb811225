"""Checkpoints of self-supervised training, in the layouts that their authors publish."""

import argparse

import pytest
import timm
import torch
from runs import images, maps, shapes
from torch import nn

from workers.zoo import registry

torch.set_num_threads(2)


def dino_head(prefix):
    """The projection head beside a backbone, by its published names."""
    names = ("mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "last_layer.weight_g", "last_layer.weight_v")
    return {f"{prefix}head.{name}": torch.ones(2, 2) for name in names}


def dino_checkpoint(module, wrapped):
    """What DINO's training script saves; only networks with batch normalisation wrap their teacher."""
    prefix = "module." if wrapped else ""
    backbone = {f"{prefix}backbone.{key}": value for key, value in module.state_dict().items()}
    student = {f"module.backbone.{key}": torch.zeros_like(value) for key, value in module.state_dict().items()}
    return {
        "student": {**student, **dino_head("module.")},
        "teacher": {**backbone, **dino_head(prefix)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", lr=0.0005, output_dir="."),
        "dino_loss": {"center": torch.zeros(1, 2)},
        "fp16_scaler": {"scale": 1.0},
    }


def mae_checkpoint(module, decoder):
    """Masked autoencoders: the encoder alone, or with the decoder that shows what it fills in."""
    state = module.state_dict()
    if decoder:
        state["mask_token"] = torch.ones(1, 1, 4)
        state["decoder_pos_embed"] = torch.ones(1, 101, 4)
        state["decoder_embed.weight"] = torch.ones(4, 64)
        state["decoder_blocks.0.norm1.weight"] = torch.ones(4)
        state["decoder_pred.bias"] = torch.ones(4)
    return {"model": state}


LAYOUTS = {
    "backbone": lambda module: dict(module.state_dict()),
    "teacher": lambda module: dino_checkpoint(module, wrapped=False),
    "wrapped teacher": lambda module: dino_checkpoint(module, wrapped=True),
    "one backbone": lambda module: {"teacher": {f"backbone.{k}": v for k, v in module.state_dict().items()}},
    "mae": lambda module: mae_checkpoint(module, decoder=False),
    "mae with decoder": lambda module: mae_checkpoint(module, decoder=True),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet"])
def test_checkpoints_of_self_supervised_training(tmp_path, layout, architecture):
    torch.manual_seed(0)
    module = timm.create_model(architecture, num_classes=0).eval()
    torch.save(LAYOUTS[layout](module), tmp_path / "checkpoint.pth")
    network = registry.load(f"timm:{architecture}", tmp_path / "checkpoint.pth")
    batch = images(network)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch))
    assert "licence" not in network.details  # the default weights' would be another one


@pytest.mark.parametrize("layout", ["backbone", "wrapped teacher"])
def test_facebooks_resnet50(tmp_path, layout):
    """At its real size, by torchvision's names; the published file has no classifier, and none in the module."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    module = resnet50(weights=None).eval()
    module.fc = nn.Identity()
    torch.save(LAYOUTS[layout](module), tmp_path / "dino_resnet50_pretrain.pth")
    network = registry.load("timm:resnet50", tmp_path / "dino_resnet50_pretrain.pth")
    batch = images(network, 1)
    with torch.inference_mode():
        assert torch.allclose(network.module(batch), module(batch), atol=1e-5)
    assert sum(channels for channels, _, _ in shapes(network).values()) == 3840


def test_a_dinov2_with_registers(tmp_path):
    """Facebook's names and its embedding of the class token, at another grid than the module's."""
    torch.manual_seed(0)
    name, options = "vit_small_patch14_reg4_dinov2", {"img_size": 70, "num_classes": 0}
    module = timm.create_model(name, **options).eval()
    nn.init.normal_(module.reg_token), nn.init.normal_(module.cls_token)
    state = dict(module.state_dict())
    state["register_tokens"] = state.pop("reg_token")
    state["mask_token"] = torch.zeros(1, 384)
    offset = torch.randn(1, 1, 384)
    state["cls_token"], state["pos_embed"] = state["cls_token"] - offset, torch.cat([offset, state["pos_embed"]], 1)
    torch.save(state, tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    network = registry.load(f"timm:{name}.lvd142m?size=70", tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    assert set(shapes(network).values()) == {(1536, 5, 5)}
    batch = images(network, 1)
    with torch.inference_mode():
        expected = module.forward_intermediates(batch, indices=[5], norm=False, intermediates_only=True)[0]
    assert torch.allclose(maps(network, batch, layers=("blocks.5",))["blocks.5"], expected, atol=1e-5)
    assert network.family == "dino"
