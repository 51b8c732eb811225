"""Entries of torch.hub that are known; no repository's code runs."""

import pytest
import timm
import torch
from runs import images, shapes

from rosetta.errors import InvalidRequest
from workers.zoo import registry, torch_hub

torch.set_num_threads(2)


@pytest.fixture
def folder(tmp_path):
    """A weights folder with the published file of DINO's small ViT, by its own names."""
    torch.manual_seed(0)
    module = timm.create_model("vit_small_patch16_224", num_classes=0).eval()
    torch.save(module.state_dict(), tmp_path / "dino_deitsmall16_pretrain.pth")
    return tmp_path, module


def test_dinos_vit(folder):
    path, module = folder
    network = registry.load("hub:facebookresearch/dino:main/dino_vits16", folders=[path])
    assert shapes(network) == {f"blocks.{index}.mlp.act": (1536, 14, 14) for index in range(12)}
    batch = images(network, 1)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch))
    assert network.family == "dino"
    assert network.aliases == ("dino_vits16", "dino vits16")
    assert network.details["licence"] == "apache-2.0"
    assert network.preprocessing.mean == (0.485, 0.456, 0.406)


def test_the_branch_may_be_left_out_and_images_may_be_longer(folder):
    network = registry.load("hub:facebookresearch/dino/dino_vits16?size=64x96", folders=[folder[0]])
    assert shapes(network)["blocks.0.mlp.act"] == (1536, 4, 6)


def test_dinos_resnet_is_torchvisions_without_a_classifier(tmp_path):
    from torchvision.models import resnet50

    torch.manual_seed(0)
    module = resnet50(weights=None).eval()
    module.fc = torch.nn.Identity()
    torch.save(module.state_dict(), tmp_path / "dino_resnet50_pretrain.pth")
    network = registry.load("hub:facebookresearch/dino:main/dino_resnet50", folders=[tmp_path])
    assert network.layers == ("layer1", "layer2", "layer3", "layer4")
    assert network.family == "dino"
    batch = images(network, 1)
    with torch.inference_mode():
        assert torch.allclose(network.module(batch), module(batch), atol=1e-5)


def test_every_entry_has_an_architecture_and_a_file_of_its_own():
    entries = torch_hub._ENTRIES["facebookresearch/dino"]
    assert list(entries) == ["dino_vits16", "dino_vits8", "dino_vitb16", "dino_vitb8", "dino_resnet50"]
    patches = {"dino_vits16": 16, "dino_vits8": 8, "dino_vitb16": 16, "dino_vitb8": 8}
    for name, entry in entries.items():
        with torch.device("meta"):
            module = timm.create_model(entry.architecture)
        if name in patches:
            # timm publishes the same file under a tag of its own.
            assert module.pretrained_cfg["url"] == entry.url
            assert module.patch_embed.patch_size == (patches[name],) * 2
    assert entries["dino_resnet50"].url.endswith("/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth")


def test_without_the_file_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_arguments, **_named: (_ for _ in ()).throw(OSError())
    )
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    place = (
        rf"put the file at {tmp_path}/dino_vitbase8_pretrain.pth, or pass --weights FILE with the weights of dino_vitb8"
    )
    with pytest.raises(InvalidRequest, match=place) as caught:
        registry.load("hub:facebookresearch/dino:main/dino_vitb8", folders=[tmp_path])
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "reference",
    [
        "facebookresearch/dino:main/dino_xcit_small_12_p16",
        "facebookresearch/dino:main",
        "facebookresearch/dino",
        "pytorch/vision:v0.10.0/resnet18",
        "someone/evil:main/install",
        "../dino:main/dino_vits16",
        "",
    ],
)
def test_no_repositorys_code_is_run(reference, monkeypatch):
    monkeypatch.setattr(torch.hub, "load", lambda *_arguments, **_named: pytest.fail("it ran"))
    with pytest.raises(InvalidRequest) as caught:
        registry.load(f"hub:{reference}")
    message = caught.value.message
    assert "no repository's code is run here" in message
    assert (
        "hub:facebookresearch/dino:main/ with dino_vits16, dino_vits8, dino_vitb16, dino_vitb8, dino_resnet50"
        in message
    )
    assert message.endswith("bring another network as timm:, onnx: or export:")
    assert "\n" not in message
