"""TorchScript archives: their tensors are read, and nothing of them runs."""

import io
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo import torchscript, weights


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)
        self.proj = nn.Parameter(torch.randn(2, 5).T)  # not contiguous
        self.sizes = [1, 2]
        self.rate = 0.5
        self.register_buffer("resolution", torch.tensor(224))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images).mean((2, 3)) * self.rate) @ self.proj.T


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = Tower()
        self.text = nn.Embedding(7, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.visual(images)


@pytest.fixture(params=["script", "trace", "half"])
def saved(request, tmp_path):
    torch.manual_seed(0)
    module = Pair().eval()
    if request.param == "half":
        module = module.half()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out; the files stay
        scripted = (
            torch.jit.trace(module, torch.zeros(1, 3, 8, 8)) if request.param == "trace" else torch.jit.script(module)
        )
        scripted.save(str(tmp_path / "model.pt"))
    return module, tmp_path / "model.pt"


def test_the_state_is_the_modules(saved):
    module, file = saved
    state = weights.read_state(file)
    expected = {key: value for key, value in module.state_dict().items() if not key.startswith("text")}
    assert expected.keys() <= state.keys()
    for key, value in expected.items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value)


def test_a_plain_checkpoint_is_no_archive(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    assert not torchscript.is_archive(tmp_path / "w.pt")


def rewrite(file, change):
    """The archive with another data.pkl."""
    content = {}
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, change(name, data))


class Call:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


class Storage(pickle.Pickler):
    def persistent_id(self, value):
        return ("storage", Call(os.mkdir, str(value)), "0", "cpu", 1) if isinstance(value, Path) else None


@pytest.mark.parametrize("bomb", ["call", "eval", "nested", "storage"])
def test_code_in_an_archive_is_refused_and_does_not_run(saved, tmp_path, bomb):
    _, file = saved
    mark = tmp_path / "ran"
    data = io.BytesIO()
    match bomb:
        case "call":
            pickle.dump(Call(os.mkdir, str(mark)), data, 2)
        case "eval":
            pickle.dump(Call(eval, f"__import__('os').mkdir({str(mark)!r})"), data, 2)
        case "nested":
            pickle.dump({"a": [Call(os.mkdir, str(mark))]}, data, 2)
        case "storage":
            Storage(data, 2).dump(mark)
    rewrite(file, lambda name, old: data.getvalue() if name.endswith("/data.pkl") else old)
    with pytest.raises(InvalidRequest, match=r"holds Python objects or code beside its tensors") as caught:
        weights.read_state(file)
    assert "\n" not in caught.value.message
    assert not mark.exists()


def test_a_cut_archive_is_broken(saved):
    _, file = saved
    rewrite(file, lambda name, old: old[: len(old) // 2] if "/data/" in name else old)
    with pytest.raises(InvalidRequest, match="broken or cut short"):
        weights.read_state(file)


def test_an_archive_of_something_else_is_refused(saved):
    _, file = saved
    rewrite(file, lambda name, old: pickle.dumps([1, 2], 2) if name.endswith("/data.pkl") else old)
    with pytest.raises(InvalidRequest, match="was not opened"):
        weights.read_state(file)


def modules(depth):
    """The pickle of modules each of which holds the next one twice, written by hand."""
    opened = b"c__torch__\nHolder\n)\x81}(X\x01\x00\x00\x00a"
    closed = b"q\x01X\x01\x00\x00\x00bh\x01ub"
    return b"\x80\x02" + opened * depth + b"K\x01" + closed * depth + b"."


def test_modules_without_end_are_refused(saved):
    _, file = saved
    rewrite(file, lambda name, old: modules(60) if name.endswith("/data.pkl") else old)
    with pytest.raises(InvalidRequest, match="was not opened"):
        weights.read_state(file)


def test_a_compressed_part_is_refused(saved):
    _, file = saved
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(InvalidRequest, match="broken or cut short"):
        weights.read_state(file)
