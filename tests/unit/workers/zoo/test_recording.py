"""Recordings: rows of arrays in files, in any order, and what is refused."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest
from tests.unit.workers.zoo import runs
from tests.unit.workers.zoo.recordings import MAPS, ORDER, VECTORS, N, load, npy, refused, written
from workers.pipelines.layers import choose, trace
from workers.zoo import recording, recording_files, registry
from workers.zoo.base import Recording


def rows(network):
    """{layer: float32 rows at ORDER} as hooks see them."""
    return {layer: found.numpy() for layer, found in runs.maps(network, ORDER).items()}


def as_maps(array):
    """The rows at ORDER as they should come, computed apart."""
    picked = np.stack([np.asarray(array)[i] for i in ORDER.tolist()]).astype("f8")
    return picked if picked.ndim == 4 else picked[:, :, None, None]


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


def test_natural_order():
    names = ["b", "a10", "a9", "a", "10", "9", "a9b2", "a9b10"]
    assert sorted(names, key=recording._natural) == ["9", "10", "a", "a9", "a9b2", "a9b10", "a10", "b"]
