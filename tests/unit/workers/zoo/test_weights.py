"""Weight files: read, refused, fitted."""

import os
import pickle
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rosetta.errors import InvalidRequest
from workers.zoo import weights


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.bn = nn.BatchNorm2d(4)


@pytest.fixture
def state():
    torch.manual_seed(0)
    return Small().state_dict()


WRAPPINGS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "arch": "small"},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: {"step": torch.ones(())}}, "param_groups": []}},
    "any name": lambda state: {"netG_state_dict": OrderedDict(state)},
    "nested": lambda state: {"checkpoint": {"model_state_dict": state}},
    "ema beside": lambda state: {"ema": {key: value + 1 for key, value in state.items()}, "state_dict": state},
    "parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_people_save(tmp_path, state, wrapping, zipped):
    file = tmp_path / "weights.pt"
    torch.save(WRAPPINGS[wrapping](state), file, _use_new_zipfile_serialization=zipped)
    module = Small()
    weights.fit(module, weights.read_state(file), file=file.name, architecture="Small")
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def test_reads_safetensors_under_any_name(tmp_path, state):
    save_file(state, tmp_path / "weights.bin")
    read = weights.read_state(tmp_path / "weights.bin")
    assert read.keys() == state.keys()
    assert torch.equal(read["conv.weight"], state["conv.weight"])


def test_half_precision_becomes_the_modules_own(tmp_path, state):
    save_file({key: value.half() for key, value in state.items() if value.is_floating_point()}, tmp_path / "w")
    module = Small()
    weights.fit(module, weights.read_state(tmp_path / "w"), file="w", architecture="Small")
    assert module.conv.weight.dtype == torch.float32
    assert torch.allclose(module.conv.weight, state["conv.weight"], atol=1e-3)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", ["torch", "torch, legacy", "pickle"])
def test_code_in_a_file_never_runs(tmp_path, state, kind):
    marker, file = tmp_path / "ran", tmp_path / "weights.pt"
    content = {"state_dict": state, "extra": Hostile(marker)}
    if kind == "pickle":
        file.write_bytes(pickle.dumps({"extra": Hostile(marker)}))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(InvalidRequest, match=r"'weights.pt' holds Python objects or code") as caught:
        weights.read_state(file)
    assert not marker.exists()
    assert "\n" not in caught.value.message


def test_a_whole_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(InvalidRequest, match="holds Python objects or code beside its tensors"):
        weights.read_state(tmp_path / "module.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_cut_file_is_broken(tmp_path, state, name):
    file = tmp_path / name
    save_file(state, file) if name.endswith("safetensors") else torch.save(state, file)
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(InvalidRequest, match=f"'{name}' is broken or cut short"):
        weights.read_state(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a weight file"),
        (b"<html>404</html>", "not a weight file"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    (tmp_path / "page.html").write_bytes(content)
    with pytest.raises(InvalidRequest, match=message):
        weights.read_state(tmp_path / "page.html")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(3), "holds a Tensor, not a state dict"),
        ({"epoch": 3}, "holds no tensors"),
        ({"first": {"a": torch.ones(1)}, "second": {"a": torch.ones(1)}}, r"several state dicts \('first', 'second"),
    ],
)
def test_other_contents_are_named(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InvalidRequest, match=message):
        weights.read_state(tmp_path / "w.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match=r"there is no weight file '.*nowhere.pt'"):
        weights.read_state(tmp_path / "nowhere.pt")


def test_a_misfit_names_the_first_keys(state):
    del state["bn.bias"], state["bn.weight"]
    state["conv.weight"] = torch.ones(8, 3, 1, 1)
    state["head.bias"] = torch.ones(2)
    with pytest.raises(InvalidRequest) as caught:
        weights.fit(Small(), state, file="w.pt", architecture="Small")
    assert caught.value.message == (
        "'w.pt' does not fit Small: missing bn.weight (and 1 more); unexpected head.bias; "
        "conv.weight is [8, 3, 1, 1], expected [4, 3, 1, 1]"
    )


def test_counts_of_batches_may_be_missing(state):
    del state["bn.num_batches_tracked"]
    weights.fit(Small(), state, file="w.pt", architecture="Small")


def test_fits_in_order_under_other_names(state):
    module = Small()
    weights.fit_in_order(
        module, {f"x{index}": value for index, value in enumerate(state.values())}, file="w", architecture="Small"
    )
    assert torch.equal(module.conv.weight, state["conv.weight"])


def test_in_order_the_first_other_shape_is_named(state):
    values = list(state.items())
    with pytest.raises(InvalidRequest, match=r"conv.bias is \[4\], expected \[4, 3, 1, 1\] for conv.weight"):
        weights.fit_in_order(Small(), dict(values[1:]), file="w", architecture="Small")
    with pytest.raises(InvalidRequest, match="it has 6 tensors, expected 7"):
        weights.fit_in_order(Small(), dict(values[:-1]), file="w", architecture="Small")


def test_the_digest_is_of_the_bytes_in_order(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"a"), two.write_bytes(b"b")
    assert weights.digest_files([one, two]) == "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"
    assert weights.digest_files([two, one]) != weights.digest_files([one, two])
