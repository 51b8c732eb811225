"""Recordings that are refused: no responses, hostile, broken or other files."""

import json
import os
import pickle
import sys

import numcodecs
import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from tests.unit.workers.zoo.recordings import VECTORS, npy, refused, written
from workers.zoo import recording_zarr


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 4, 5)), r"shape [3, 4, 5], expected [images, channels] or [images, channels, height, width]"),
        (np.zeros(3), r"shape [3], expected"),
        (np.float32(3), r"shape [], expected"),
        (np.zeros((2, 3, 4, 5, 6)), r"shape [2, 3, 4, 5, 6], expected"),
        (np.zeros((3, 0)), r"shape [3, 0], expected"),
        (np.zeros((0, 3)), r"shape [0, 3], expected"),
        (np.zeros((3, 2, 0, 4)), r"shape [3, 2, 0, 4], expected"),
        (np.zeros((3, 4), "c8"), r"holds complex64, expected floats or integers"),
        (np.zeros((3, 4), "U5"), r"holds <U5, expected floats or integers"),
        (np.zeros((3, 4), "M8[s]"), r"holds datetime64[s], expected floats or integers"),
        (np.zeros((3, 4), [("a", "f4"), ("b", "i2")]), r"expected floats or integers"),
        (np.zeros((3, 4), "O"), r"'r.npy' holds Python objects and was not opened"),
    ],
)
def test_arrays_that_are_no_responses(tmp_path, array, said):
    np.save(tmp_path / "r.npy", array)
    assert said in refused(tmp_path / "r.npy")


class Hostile:
    """Leaves a file where it was unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_no_code_of_a_file_is_run(tmp_path):
    mark = tmp_path / "ran"
    np.save(tmp_path / "r.npy", np.array([[Hostile(mark)]]), allow_pickle=True)
    assert "holds Python objects" in refused(tmp_path / "r.npy")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Hostile(mark)))
    assert "is no recording: write responses with" in refused(tmp_path / "pickle")
    codec = {"id": "pickle"}
    plain = {"zarr_format": 2, "shape": [1, 1], "chunks": [1, 1], "dtype": "<f4", "fill_value": 0, "order": "C"}
    plain |= {"compressor": None, "filters": None}
    for number, change in enumerate(
        ({"compressor": codec}, {"filters": [codec]}, {"dtype": "|O", "filters": [codec]}, {"filters": [codec, codec]})
    ):
        folder = tmp_path / f"{number}.zarr"
        folder.mkdir()
        (folder / ".zarray").write_text(json.dumps(plain | change))
        (folder / "0.0").write_bytes(pickle.dumps(Hostile(mark)))
        refused(folder)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Hostile(mark)))  # it would have
    assert mark.exists()


def test_only_codecs_of_numbers_are_let_in(tmp_path):
    group = zarr.create_group(tmp_path / "r.zarr", zarr_format=2)
    group.create_array("a", data=VECTORS, filters=[numcodecs.Base64()], compressors=None)
    assert "array 'a' of 'r.zarr' is encoded by 'base64', which is not read" in refused(tmp_path / "r.zarr")
    inner = {"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}], "index_codecs": [{"name": "crc32c"}]}
    shards = {"codecs": [{"name": "sharding_indexed", "configuration": inner}]}
    assert set(recording_zarr._codecs(shards)) == {"sharding_indexed", "bytes", "pickle", "crc32c"}
    old = {"compressor": {"id": "blosc"}, "filters": [{"id": "delta"}, {"id": "pickle"}]}
    assert set(recording_zarr._codecs(old)) == {"blosc", "delta", "pickle"}
    assert "pickle" not in recording_zarr._CODECS


def test_a_shape_alone_asks_for_no_memory(tmp_path):
    zarr.create_array(tmp_path / "r.zarr", shape=(2, 2**40), chunks=(1, 2**40), dtype="f4")
    assert "at most 268,435,456 numbers: write it in chunks of a few images" in refused(tmp_path / "r.zarr")


def test_other_data_in_files(tmp_path):
    save_file({"a": torch.zeros(3, 2), "b": torch.zeros(4, 2), "c": torch.zeros(3, 1)}, tmp_path / "r.safetensors")
    assert "differ in length: 'a' has 3 images, 'b' 4;" in refused(tmp_path / "r.safetensors")
    save_file({"a": torch.zeros(3, 2), "step": torch.tensor(5)}, tmp_path / "r.safetensors")
    assert "array 'step' of 'r.safetensors' is of shape []" in refused(tmp_path / "r.safetensors")
    save_file({"a": torch.zeros(3, 2).to(torch.float8_e4m3fn)}, tmp_path / "r.safetensors")
    assert "array 'a' of 'r.safetensors' holds F8_E4M3" in refused(tmp_path / "r.safetensors")
    save_file({}, tmp_path / "r.safetensors")
    assert refused(tmp_path / "r.safetensors") == "'r.safetensors' holds no arrays"
    zarr.create_group(tmp_path / "r.zarr")
    assert refused(tmp_path / "r.zarr") == "'r.zarr' holds no arrays"
    zarr.create_array(tmp_path / "s.zarr", shape=(2, 2), dtype="c8")
    assert "'s.zarr' holds complex64, expected floats or integers" in refused(tmp_path / "s.zarr")


@pytest.mark.parametrize("name", ["conv 1", "conv:0", "...", "a\0b", "/"])
def test_names_that_cannot_be_layers(tmp_path, name):
    save_file({name: torch.zeros(3, 2)}, tmp_path / "r.safetensors")
    assert f"array {name!r} of 'r.safetensors' cannot be a layer: rename it" in refused(tmp_path / "r.safetensors")


def test_two_names_of_one_layer(tmp_path):
    save_file({"a.b": torch.zeros(3, 2), "a/b": torch.zeros(3, 2)}, tmp_path / "r.safetensors")
    assert "two arrays of 'r.safetensors' are layer 'a.b': rename one" in refused(tmp_path / "r.safetensors")


def test_broken_and_other_files(tmp_path):
    whole = npy(tmp_path / "whole.npy", VECTORS).read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-1])
    (tmp_path / "header.npy").write_bytes(whole[:40])
    save_file({"a": torch.zeros(3, 2)}, tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-1])
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    for name in ("cut.npy", "header.npy", "cut.safetensors", "folder", "cut.zip"):
        assert f"'{name}' is broken or cut short (" in refused(tmp_path / name)
    np.savez(tmp_path / "r.npz", a=VECTORS)
    assert "'r.npz' is an archive without zarr in it (.npz, perhaps)" in refused(tmp_path / "r.npz")
    (tmp_path / "empty").touch()
    assert "'empty' is no recording: write responses with numpy.save" in refused(tmp_path / "empty")
    assert "there is no recording" in refused(tmp_path / "nothing.npy")


def test_without_the_extra(tmp_path, monkeypatch):
    written(tmp_path / "r.zarr")
    monkeypatch.delitem(sys.modules, "workers.zoo.recording_zarr", raising=False)
    monkeypatch.setitem(sys.modules, "zarr", None)
    monkeypatch.delattr("workers.zoo.recording_zarr", raising=False)
    expected = "'r.zarr' is zarr, which takes an extra: pip install 'rosetta-neurons[zarr]'"
    assert refused(tmp_path / "r.zarr") == expected
