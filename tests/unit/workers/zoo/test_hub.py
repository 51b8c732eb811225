"""The hub's cache, and the line that says what to do without it."""

import pytest
import timm
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from workers.zoo import hub, registry


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a hub that nobody can reach."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "get_hf_file_metadata", _unreachable)
    monkeypatch.setattr(torch.hub, "download_url_to_file", _unreachable)
    return tmp_path / "hub"


def _unreachable(*arguments, **options):
    raise ConnectionError("Name or service not known")


def put(cache, repository, name):
    """A path in the cache where the hub's client looks for a file."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    file = folder / "snapshots" / ("0" * 40) / name
    file.parent.mkdir(parents=True)
    return file


def test_a_cached_file_needs_no_network(cache):
    torch.manual_seed(0)
    module = timm.create_model("test_resnet")
    save_file(module.state_dict(), put(cache, "timm/test_resnet.r160_in1k", "model.safetensors"))
    network = registry.load("timm:test_resnet.r160_in1k")
    assert torch.equal(network.module.conv1[0].weight, module.conv1[0].weight)


def test_the_second_name_will_do(cache):
    put(cache, "a/b", "pytorch_model.bin").write_bytes(b"x")
    found = hub.repository_file("a/b", ("model.safetensors", "pytorch_model.bin"), "mend")
    assert found.read_bytes() == b"x"


@pytest.mark.parametrize("source", ["timm:resnet50.a1_in1k", "open_clip:RN50/openai"])
def test_without_cache_and_network_one_line_says_the_mend(cache, source):
    with pytest.raises(InvalidRequest, match=r"not in the hub's cache .*could not be downloaded.*--weights FILE") as e:
        registry.load(source)
    assert "\n" not in e.value.message
    assert str(cache) in e.value.message


def test_a_repository_without_the_file(cache, monkeypatch):
    def absent(*arguments, **options):
        raise EntryNotFoundError("404")

    monkeypatch.setattr(hub, "get_hf_file_metadata", absent)
    with pytest.raises(InvalidRequest, match="it has no such file"):
        hub.repository_file("a/b", ("model.safetensors",), "mend")


def test_a_url_is_looked_for_in_its_cache(tmp_path, cache):
    (tmp_path / "w.pth").write_bytes(b"x")
    assert hub.url_file("https://host/folder/w.pth", tmp_path, "mend") == tmp_path / "w.pth"
    with pytest.raises(InvalidRequest, match=r"v.pth are not in .*pass --weights FILE"):
        hub.url_file("https://host/folder/v.pth", tmp_path, "pass --weights FILE")
