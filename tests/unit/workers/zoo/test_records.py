"""NVIDIA's pickles: what is read, and that nothing in them runs."""

import io
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pickles
import pytest
import torch
from pickles import Call
from torch import nn

from rosetta.errors import InvalidRequest
from workers.zoo import records, unpickler


def read(tmp_path, content, protocol=pickle.DEFAULT_PROTOCOL):
    return records.read_pickle(pickles.write(tmp_path / "network.pkl", content, protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_modules_become_records_with_their_tensors(tmp_path, protocol):
    weight, strided = torch.randn(3, 4), torch.arange(12.0).view(3, 4).t()[1:]
    inner = pickles.module("Layer", parameters={"weight": weight, "bias": None}, buffers={"half": weight.half()}, up=2)
    outer = pickles.module(
        "Generator",
        buffers={"w_avg": strided},
        modules={"fc0": inner, "none": None},
        args=(512,),
        kwargs={"c_dim": 0, "inner": pickles.EasyDict(a=1)},
        z_dim=np.float64(2) / 3,
    )
    found = read(tmp_path, pickles.checkpoint(outer, cur=torch.tensor(5)), protocol)
    record = found["G_ema"]
    assert record.kind == "Generator"
    state = records.state_dict(record)
    assert list(state) == ["w_avg", "fc0.weight", "fc0.half"]
    assert torch.equal(state["w_avg"], strided)
    assert torch.equal(state["fc0.weight"], weight)
    assert type(state["fc0.weight"]) is torch.Tensor
    assert not state["fc0.weight"].requires_grad
    assert torch.equal(state["fc0.half"], weight.half())
    assert records.arguments(record, ("z_dim", "w_dim")) == {"z_dim": 512, "c_dim": 0, "inner": {"a": 1}}
    assert records.attribute(record, "z_dim", float) == 2 / 3
    assert records.attribute(record.state["_modules"]["fc0"], "up", int) == 2
    assert found["training_set_kwargs"]["max_size"] == 3
    assert found["cur"] == 5


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_and_scalars_keep_type_order_and_bytes(tmp_path, protocol):
    arrays = [
        np.arange(6, dtype="<f4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6, dtype=">i8").reshape(1, 2, 3)[:, ::-1],
        np.array(1.5, dtype="float16"),
        np.zeros((0, 3)),
        np.array([True, False]),
    ]
    network = pickles.Network(version=4, variables=[[str(i), array] for i, array in enumerate(arrays)], components={})
    for record in read(tmp_path, (network, network, network), protocol):
        assert record.kind == "dnnlib.tflib.network.Network"
        assert record.state["version"] == 4
        for array, (_, found) in zip(arrays, record.state["variables"], strict=True):
            assert found.dtype == array.dtype.newbyteorder("=")
            assert np.array_equal(found, array)
            assert torch.equal(records.tensor(found), torch.from_numpy(array.astype(array.dtype.newbyteorder("="))))
    assert read(tmp_path, [np.float32(0.1), np.int64(-3)], protocol) == [np.float32(0.1), -3]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("as_dill", [pickles.DillArray, pickles.old_dill])
def test_arrays_that_dill_wrote(tmp_path, as_dill, protocol):
    arrays = [np.broadcast_to(np.asarray(36), [2]), np.arange(6.0).reshape(2, 3).T]
    found = read(tmp_path, [as_dill(array) for array in arrays], protocol)
    for array, expected in zip(found, arrays, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("protocol", [2, 4])
def test_numbers_and_types_that_dill_wrote(tmp_path, protocol):
    numbers = [np.float64(2) / 3, np.int64(-3)]
    assert read(tmp_path, [pickles.old_dill(number) for number in numbers], protocol) == numbers
    kinds = [pickles.Call(pickles.DILL["_load_type"], name) for name in ("set", "MethodType")]
    made, method = read(tmp_path, [pickles.Call(kinds[0], [1, 2]), pickles.Call(kinds[1], "f", "self")], protocol)
    assert made == {1, 2}
    assert method.kind == "MethodType"


@pytest.mark.parametrize("protocol", [2, 4])
def test_functions_that_dill_wrote_become_records(tmp_path, protocol):
    """The hooks and methods of a vision transformer, as the files of StyleGAN-XL have them."""
    code = compile("raise RuntimeError('code in a pickle ran')", "file.py", "exec").co_code
    hook = pickles.dill_function("hook", code)
    layer = pickles.module("Block", _forward_hooks=OrderedDict({7: hook}))
    method = pickles.Call(pickles.Call(pickles.DILL["_load_type"], "MethodType"), hook, layer)
    setter = pickles.Call(getattr, pickles.dill_member("dill", "_dill"), "_setattr", setattr)
    filled = pickles.Call(setter, pickles.Call(pickles.DILL["_create_cell"], None), "cell_contents", "2")
    others = {"layer": layer, "method": method, "named": pickles.Call(getattr, layer, "forward_flex"), "cell": filled}
    found = read(tmp_path, others | {"last": torch.ones(2)}, protocol)
    assert found["last"].tolist() == [1, 1]
    assert found["layer"].state["_forward_hooks"][7].kind == "dill._dill._create_function"
    assert [found[name].kind for name in ("method", "named", "cell")] == [
        "MethodType", "method forward_flex", "dill._dill._setattr"
    ]  # fmt: skip
    for record in (found["layer"].state["_forward_hooks"][7], found["method"]):
        assert not callable(record)


def test_arrays_that_python_2_wrote():
    text = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x08\x00\x00\x80?\x00\x00\x00\xc0tb."
    )
    assert unpickler.Unpickler(io.BytesIO(text), encoding="latin1").load().tolist() == [1.0, -2.0]


def test_plain_data_and_foreign_modules(tmp_path):
    data = {
        "set": {1, 2},
        "ordered": OrderedDict(a=[1, (2.5, None)]),
        "bytes": b"\xff\x00",
        "size": torch.Size([2, 3]),
        "device": torch.device("cuda", 1),
        "dtype": torch.float16,
        "module": nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU()),
    }
    for protocol in (2, 3, 4, 5):
        found = read(tmp_path, data, protocol)
        module = found.pop("module")
        assert found == {key: data[key] for key in ("set", "ordered", "bytes", "dtype")} | {
            "size": (2, 3),
            "device": "cuda:1",
        }
        assert type(module) is not nn.Sequential
        assert module.kind == "torch.nn.modules.container.Sequential"
        assert torch.equal(records.state_dict(module)["0.weight"], data["module"][0].weight)


def _hostile(marker):
    import functools
    import os
    import shutil

    command = f"open({str(marker)!r}, 'w').close()"
    stored = io.BytesIO()
    torch.save(Call(exec, command), stored, _use_new_zipfile_serialization=False)
    zipped = io.BytesIO()
    torch.save(Call(exec, command), zipped)
    meta = {"type": "class", "version": 6, "module_src": command, "class_name": "Generator"}
    nested = pickles.module("Generator", inner=Call(exec, command))
    return {
        "system": (Call(os.system, f"touch {marker}"), "posix.system"),
        "copy": (Call(shutil.copyfile, __file__, str(marker)), "shutil.copyfile"),
        "eval": (Call(eval, command), "builtins.eval"),
        "exec": (Call(exec, command), "builtins.exec"),
        "import": (Call(getattr, Call(__import__, "os"), "system"), "builtins.__import__"),
        "dill's import": (Call(pickles.dill_member("os", "system"), f"touch {marker}"), "os.system"),
        "dill's member": (Call(pickles.dill_member("torch", "load"), str(marker)), "torch.load"),
        "partial": (Call(functools.partial, exec, command), "functools.partial"),
        "open": (Call(open, str(marker), "w"), "io.open"),
        "load": (Call(torch.load, str(marker)), "torch.serialization.load"),
        "named only": ([exec], "builtins.exec"),
        "storage": (Call(torch.storage._load_from_bytes, stored.getvalue()), "torch.storage._load_from_bytes"),
        "zipped storage": (Call(torch.storage._load_from_bytes, zipped.getvalue()), "torch.storage._load_from_bytes"),
        "in the state": (nested, "builtins.exec"),
        "in the meta": (
            Call(pickles._reconstruct_persistent_obj, meta | {"state": {"a": Call(exec, command)}}),
            "builtins.exec",
        ),
    }


@pytest.mark.parametrize("kind", _hostile("x"))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_calls_anything_is_refused(tmp_path, kind, protocol):
    marker = tmp_path / "ran"
    content, name = _hostile(marker)[kind]
    with pytest.raises(InvalidRequest) as error:
        read(tmp_path, {"G_ema": content}, protocol)
    assert not marker.exists()
    name = name if protocol > 2 else name.replace("builtins", "__builtin__")
    assert f"'network.pkl' names {name.removesuffix('_load_from_bytes')}" in str(error.value).replace(
        "code in the bytes of a tensor (", ""
    )
    assert "take the file from where it was published" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_source_of_a_persistent_object_never_runs(tmp_path):
    marker = tmp_path / "ran"
    source = f"open({str(marker)!r}, 'w').close()"
    state = pickles.module("Generator").state
    found = read(tmp_path, {"G_ema": pickles.Persistent("Generator", state, source)})
    assert found["G_ema"].kind == "Generator"
    assert "module_src" not in found["G_ema"].state
    assert not marker.exists()


def _short(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


def _global(module, name):
    return _short(module) + _short(name) + b"\x93"


STATE = b"}" + _short("__call__") + b"K\x01s"
TAMPERED = {
    name: b"\x80\x04" + target + state + b"b."
    for kind, state in {"dict": STATE, "slots": b"N" + STATE + b"\x86"}.items()
    for name, target in {
        f"a function, {kind}": _global("torch._utils", "_rebuild_tensor_v2"),
        f"the class of records, {kind}": _global("dnnlib.tflib.network", "Network"),
        f"the class of dicts, {kind}": _global("dnnlib.util", "EasyDict"),
        f"a module's class, {kind}": _global("torch.nn.modules.linear", "Linear"),
        f"the class of types, {kind}": _global("numpy", "dtype"),
        f"sets, {kind}": _global("builtins", "set"),
        f"a type of tensors, {kind}": _global("torch", "float32"),
        f"a type of arrays, {kind}": _global("numpy", "dtype") + _short("f4") + b"\x85R",
    }.items()
}


@pytest.mark.parametrize("target", TAMPERED)
def test_what_reads_the_file_cannot_be_changed_by_it(tmp_path, target):
    (tmp_path / "network.pkl").write_bytes(TAMPERED[target])
    with pytest.raises(InvalidRequest, match=r"'network.pkl' is no pickle of a network, is broken or cut short: copy"):
        records.read_pickle(tmp_path / "network.pkl")
    assert read(tmp_path, {"a": torch.ones(2)})["a"].tolist() == [1, 1]


def test_arrays_of_objects_and_tensors_beyond_their_numbers_are_refused(tmp_path):
    class Beyond:
        def __init__(self, size):
            self.size = size

        def __reduce__(self):
            storage = torch.ones(2).storage()._untyped_storage
            typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
            return torch._utils._rebuild_tensor_v2, (typed, 0, (self.size,), (1,), False, OrderedDict())

    assert read(tmp_path, Beyond(2)).tolist() == [1, 1]
    for content in (Beyond(3), np.array([{}], dtype=object), np.zeros(2, dtype="f4,i4"), np.array("text")):
        with pytest.raises(InvalidRequest, match="is broken or cut short"):
            read(tmp_path, content)


def test_a_type_with_flags_of_the_file_is_a_plain_type(tmp_path):
    """numpy would take the flag 'holds objects' from the file, and follow its numbers as pointers."""
    content = pickles.dumps(np.arange(2.0), 4)
    flags = b"K\x00t\x94b\x89"  # the last number of the type's state
    assert content.count(flags) == 1
    (tmp_path / "network.pkl").write_bytes(content.replace(flags, b"K\x3ft\x94b\x89"))
    found = records.read_pickle(tmp_path / "network.pkl")
    assert found.dtype == np.dtype("f8")
    assert not found.dtype.hasobject
    assert found.tolist() == [0, 1]


def test_broken_and_missing_files(tmp_path):
    whole = pickles.dumps(pickles.checkpoint(pickles.module("Generator", parameters={"w": torch.randn(50)})))
    for count in (0, 1, 2, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pkl").write_bytes(whole[:count])
        with pytest.raises(InvalidRequest, match=r"'cut.pkl' is no pickle of a network, is broken or cut short"):
            records.read_pickle(tmp_path / "cut.pkl")
    (tmp_path / "text.pkl").write_text("<html>Not found</html>")
    with pytest.raises(InvalidRequest, match=r"'text.pkl' is no pickle"):
        records.read_pickle(tmp_path / "text.pkl")
    huge = b"\x80\x04\x8e" + struct.pack("<Q", 2**62)
    (tmp_path / "huge.pkl").write_bytes(huge)
    with pytest.raises(InvalidRequest, match=r"'huge.pkl' is no pickle"):
        records.read_pickle(tmp_path / "huge.pkl")
    with pytest.raises(InvalidRequest, match="there is no weight file"):
        records.read_pickle(tmp_path / "absent.pkl")


def test_what_is_no_network_says_what_it_lacks(tmp_path):
    record = read(tmp_path, pickles.module("Encoder", z_dim="many"))
    with pytest.raises(InvalidRequest, match="the file's Encoder has no w_dim: it is another kind of network"):
        records.attribute(record, "w_dim")
    with pytest.raises(InvalidRequest, match="the z_dim of the file's Encoder is a str"):
        records.attribute(record, "z_dim", int)
    with pytest.raises(InvalidRequest, match="the file's dict has no _parameters"):
        records.state_dict({})
    with pytest.raises(InvalidRequest, match="a str where a tensor belongs"):
        records.tensor("weight")
