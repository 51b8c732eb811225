"""Recordings: rows of arrays in files, in any order, and what is refused."""

import json
import os
import pickle
import shutil
import struct
import sys
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from tests.unit.workers.zoo import runs
from workers.pipelines.layers import choose, trace
from workers.zoo import recording, recording_files, recording_zarr, registry
from workers.zoo.base import Recording

N = 11
ORDER = torch.tensor([7, 0, 10, 3, 3])
RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(N, 5)).astype("f4")
MAPS = RANDOM.normal(size=(N, 3, 4, 6)).astype("f4")


def load(path, options="?probe=faces"):
    return registry.load(f"recording:{path}{options}")


def rows(network):
    """{layer: float32 rows at ORDER} as hooks see them."""
    return {layer: found.numpy() for layer, found in runs.maps(network, ORDER).items()}


def as_maps(array):
    """The rows at ORDER as they should come, computed apart."""
    picked = np.stack([np.asarray(array)[i] for i in ORDER.tolist()]).astype("f8")
    return picked if picked.ndim == 4 else picked[:, :, None, None]


def refused(path, options="?probe=faces"):
    with pytest.raises(InvalidRequest) as caught:
        load(path, options)
    assert "\n" not in caught.value.message
    return caught.value.message


def npy(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize("array", [VECTORS, MAPS], ids=["vectors", "maps"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8", "i1", "u1", ">i2", "<u4", "<i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, array, dtype, order):
    array = (np.abs(array) * 20).astype(dtype, order=order)
    network = load(npy(tmp_path / "Responses.npy", array))
    assert network.layers == ("responses",)
    assert (network.family, network.aliases) == ("recording", ("responses",))
    assert network.recording == Recording(N, "faces")
    assert (network.preprocessing, network.latents) == (None, None)
    (found,) = rows(network).values()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, as_maps(array), rtol=1e-7)


@pytest.mark.parametrize("dtype", recording_files._SAFETENSORS)
def test_safetensors(tmp_path, dtype):
    kinds = {"F": "float", "I": "int", "U": "uint", "BF": "bfloat"}
    name = "bool" if dtype == "BOOL" else kinds[dtype.rstrip("0123456789")] + dtype.lstrip("BFIU")
    tensor = torch.from_numpy(np.abs(MAPS * 20)).to(getattr(torch, name))
    save_file({"a": tensor}, tmp_path / "r.safetensors")
    (found,) = rows(load(tmp_path / "r.safetensors")).values()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tensor.double().numpy()[ORDER])


def test_several_arrays_are_nested_layers_in_the_order_of_their_names(tmp_path):
    names = ["block.10", "block.2/act", "block.2", "type", "forward", "Head", "block.2.act2"]
    tensors = {name: torch.full((N, 2 + place), float(place)) for place, name in enumerate(names)}
    tensors["block.2/act"] = torch.from_numpy(MAPS)  # other grids are welcome
    save_file(tensors, tmp_path / "r.safetensors")
    network = load(tmp_path / "r.safetensors")
    assert network.layers == ("Head", "block.2", "block.2.act", "block.2.act2", "block.10", "forward", "type")
    shapes = {shape.name: (shape.channels, shape.height, shape.width) for shape in trace(network, network.layers, "r")}
    assert list(shapes) == list(network.layers)  # numbers of units follow this order
    assert shapes["block.2.act"] == (3, 4, 6)
    assert shapes["block.10"] == (2, 1, 1)
    assert choose(network.module, ["block.2*"], "r") == ["block.2", "block.2.act", "block.2.act2"]
    found = rows(network)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name.replace("/", ".")], as_maps(tensor))


def written(path, zarr_format=3, **options):
    group = zarr.create_group(path, zarr_format=zarr_format, attributes={"probe_set_digest": "ab" * 32})
    group.create_array("v1", data=VECTORS.astype("f2"), chunks=(4, 5), **options)
    group.create_array("conv/2/act", data=MAPS.astype(">f8"), chunks=(1, 3, 4, 6), **options)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("packed", ["folder", "zip", "zip with the folder in it", "deflated"])
def test_zarr(tmp_path, zarr_format, packed):
    path = tmp_path / "r.zarr"
    written(path, zarr_format)
    if packed != "folder":
        where = {"root_dir": tmp_path, "base_dir": "r.zarr"} if "folder" in packed else {"root_dir": path}
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", **where))
    network = load(path, "")
    assert network.recording == Recording(N, "ab" * 32, "ab" * 32)
    assert network.layers == ("conv.2.act", "v1")
    found = rows(network)
    np.testing.assert_allclose(found["conv.2.act"], as_maps(MAPS), rtol=1e-7)
    np.testing.assert_array_equal(found["v1"], as_maps(VECTORS.astype("f2")))


def test_one_zarr_array_with_shards(tmp_path):
    zarr.create_array(tmp_path / "r", data=MAPS, chunks=(2, 3, 4, 6), shards=(4, 3, 4, 6), attributes={"a": 1})
    network = load(tmp_path / "r")
    assert network.recording == Recording(N, "faces")
    np.testing.assert_array_equal(rows(network)["responses"], as_maps(MAPS))


def test_a_file_says_which_probe_set_it_answers_and_an_option_too(tmp_path):
    save_file({"a": torch.ones(1, 2)}, tmp_path / "r.safetensors", {"probe_set_digest": "cd" * 32})
    assert load(tmp_path / "r.safetensors", "").recording == Recording(1, "cd" * 32, "cd" * 32)
    assert load(tmp_path / "r.safetensors").recording == Recording(1, "faces", "cd" * 32)
    path = npy(tmp_path / "r.npy", VECTORS)
    for options in ("", "?probe="):
        message = refused(path, options)
        assert message.endswith("add ?probe=DIGEST to the source (`rosetta probes show NAME` prints it)")
    assert "no option 'prob': it knows probe" in refused(path, "?prob=faces")


def test_the_given_file_overrides(tmp_path):
    given = npy(tmp_path / "given.npy", MAPS)
    assert registry.load("recording:?probe=x", given).recording == Recording(N, "x")


def test_the_digest_is_of_all_bytes_and_names(tmp_path):
    first, second = npy(tmp_path / "a.npy", VECTORS), npy(tmp_path / "b.npy", VECTORS)
    assert load(first).weights_digest == load(second, "?probe=other").weights_digest
    np.save(second, VECTORS + 1)
    assert load(first).weights_digest != load(second).weights_digest
    digests = set()
    for number, change in enumerate((None, "conv/2/act/c/0/0/0/0", "renamed")):
        path = tmp_path / f"{number}.zarr"
        written(path)
        if change == "renamed":
            (path / "v1").rename(path / "v2")
        elif change:
            (path / change).write_bytes((path / "conv/2/act/c/1/0/0/0").read_bytes())
        digests.add(load(path).weights_digest)
    assert len(digests) == 3
    written(tmp_path / "again.zarr")
    assert load(tmp_path / "again.zarr").weights_digest == load(tmp_path / "0.zarr").weights_digest


def huge(path, kind):
    """4 TiB of zeros that take no place on the disk: 2^20 rows of 2^20 numbers."""
    side = 2**20
    with path.open("wb") as file:
        if kind == "npy":
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (side, side)})
        else:
            header = json.dumps({"x": {"dtype": "F32", "shape": [side, side], "data_offsets": [0, 4 * side**2]}})
            file.write(struct.pack("<Q", len(header)) + header.encode())
        start = file.tell()
        file.truncate(start + 4 * side**2)
        file.seek(start + 4 * side * (side - 1))
        file.write(np.full(side, 7, "<f4").tobytes())


@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_more_than_memory_is_read_by_rows(tmp_path, kind):
    path = tmp_path / "huge"
    try:
        huge(path, kind)
    except OSError:
        pytest.skip("no sparse files of 4 TiB here")
    (array,) = recording_files.open_file(path).arrays.values()
    found = array.read([2**20 - 1, 5])
    assert found.shape == (2, 2**20)
    assert found[0].unique().tolist() == [7]
    assert found[1].unique().tolist() == [0]


def test_only_the_chunks_of_the_rows_are_read(tmp_path):
    path = tmp_path / "r.zarr"
    written(path)
    for chunk in (path / "conv/2/act/c").iterdir():
        if int(chunk.name) not in ORDER.tolist():
            (chunk / "0/0/0").write_bytes(b"broken")
    network = load(path)
    np.testing.assert_allclose(rows(network)["conv.2.act"], as_maps(MAPS), rtol=1e-7)
    with pytest.raises(InvalidRequest, match=r"'r\.zarr' is broken or cut short \(.+\): copy or write it again"):
        network.module(torch.tensor([0, 5]))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_not_finite(tmp_path, value):
    array = np.ones((3, 2))
    array[0, 1] = value
    network = load(npy(tmp_path / "r.npy", array))
    with pytest.raises(InvalidRequest, match="'r', layer 'responses': NaN or infinity at the first image; fill in"):
        trace(network, network.layers, "r")
    np.save(tmp_path / "r.npy", array[::-1])  # at the last image: what mining finds
    network = load(tmp_path / "r.npy")
    assert trace(network, network.layers, "r")
    assert not network.module.get_submodule("responses")(torch.tensor([2])).isfinite().all()


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


def test_natural_order():
    names = ["b", "a10", "a9", "a", "10", "9", "a9b2", "a9b10"]
    assert sorted(names, key=recording._natural) == ["9", "10", "a", "a9", "a9b2", "a9b10", "a10", "b"]
