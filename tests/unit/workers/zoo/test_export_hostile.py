"""Hostile files of torch.export: a good one, with something changed. Each gets one line, and nothing in it runs."""

import io
import json
import logging
import os
import pickle
import zipfile

import pytest
import torch
from programs import Net, export, older, write
from runs import shapes
from torch import nn

from rosetta.errors import InvalidRequest
from workers.zoo import registry

torch.set_num_threads(2)
MODEL, WEIGHTS, CONSTANTS = (
    "net/models/model.json",
    "net/data/weights/model_weights_config.json",
    "net/data/constants/model_constants_config.json",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The members of a good file, by name without the root."""
    torch.manual_seed(0)
    file = export(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Scaled()), tmp_path_factory.mktemp("good") / "net.pt2")
    with zipfile.ZipFile(file) as members:
        return {name: members.read(name) for name in members.namelist()}


class Scaled(nn.Module):
    """A constant tensor, and sizes that depend on the batch."""

    def forward(self, x):
        return x.reshape(x.shape[0] * 2, -1) * torch.tensor([3.0])


def edited(members, member, edit):
    """The members, with one of them, JSON, changed by a function."""
    content = json.loads(members[member])
    edit(content)
    return {**members, member: json.dumps(content).encode()}


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def bombs(marker):
    buffer = io.BytesIO()
    torch.save({"0.weight": Bomb(marker)}, buffer)
    return {"torch": buffer.getvalue(), "pickle": pickle.dumps(Bomb(marker))}


def refused(tmp_path, members, message="."):
    """One line, and nothing of the file has run."""
    write(tmp_path / "net.pt2", members)
    with pytest.raises(InvalidRequest, match=message) as caught:
        registry.load(f"export:{tmp_path / 'net.pt2'}")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "ran").exists()


def graph(content):
    return content["graph_module"]["graph"]


def test_the_good_file_is_good(tmp_path, good):
    write(tmp_path / "net.pt2", good)
    assert registry.load(f"export:{tmp_path / 'net.pt2'}").layers == ("1",)


def in_config(member, folder, name, content):
    """The payload of the first tensor is a pickle."""

    def change(members):
        def edit(config):
            entry = next(iter(config["config"].values()))
            entry.update(use_pickle=True, path_name=name)

        return {**edited(members, member, edit), f"net/data/{folder}/{name}": content}

    return change


def beside(member, content):
    return lambda members: {**members, member: content}


@pytest.mark.parametrize("form", ["torch", "pickle"])
@pytest.mark.parametrize(
    "place",
    [
        lambda bomb: in_config(WEIGHTS, "weights", "weight_0", bomb),
        lambda bomb: in_config(CONSTANTS, "constants", "tensor_0", bomb),
        lambda bomb: in_config(CONSTANTS, "constants", "custom_obj_0", bomb),
        lambda bomb: in_config(CONSTANTS, "constants", "opaque_obj_0", bomb),
        lambda bomb: beside("net/data/weights/model.pt", bomb),
        lambda bomb: beside("net/data/constants/model.pt", bomb),
    ],
    ids=["weight", "constant", "custom object", "opaque object", "weights of 2.8", "constants of 2.8"],
)
def test_pickles_are_not_run(tmp_path, good, place, form):
    refused(tmp_path, place(bombs(tmp_path / "ran")[form])(good), "holds Python objects beside its tensors and was not")


@pytest.mark.parametrize("member", ["serialized_state_dict.pt", "serialized_constants.pt"])
def test_pickles_of_the_old_layout_are_not_run(tmp_path, member):
    older(Net(), tmp_path / "net.pt2", "2.7")
    with zipfile.ZipFile(tmp_path / "net.pt2") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    refused(tmp_path, {**members, member: bombs(tmp_path / "ran")["torch"]}, "holds Python objects beside its tensors")


@pytest.mark.parametrize("member", ["net/data/sample_inputs/model.pt", "net/data/aotinductor/model/wrapper.so"])
def test_what_is_not_needed_is_not_looked_at(tmp_path, good, member):
    write(tmp_path / "net.pt2", {**good, member: bombs(tmp_path / "ran")["torch"]})
    assert registry.load(f"export:{tmp_path / 'net.pt2'}").layers == ("1",)
    assert not (tmp_path / "ran").exists()


def test_the_bombs_are_live(tmp_path, good):
    """PyTorch's own loader runs them, so that their silence above means something."""
    hostile = [
        in_config(WEIGHTS, "weights", "weight_0", bombs(tmp_path / "ran")["torch"])(good),
        edited(good, MODEL, lambda content: sizes(content, code(tmp_path / "ran"))),
    ]
    logging.disable()
    try:
        for members in hostile:
            write(tmp_path / "net.pt2", members)
            with pytest.raises(Exception):  # noqa: B017, PT011 - after the bomb, whatever it is
                torch.export.load(tmp_path / "net.pt2")
            assert (tmp_path / "ran").exists()
            (tmp_path / "ran").unlink()
    finally:
        logging.disable(logging.NOTSET)


def code(marker):
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def sizes(content, text):
    """Writes a symbolic size of the image, which is evaluated first."""
    graph(content)["tensor_values"][graph(content)["inputs"][-1]["as_tensor"]["name"]]["sizes"][0] = expression(text)


def expression(text):
    return {"as_expr": {"expr_str": text, "hint": None}}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {marker}')",
        "Symbol('s77', integer=True).__class__.__mro__",
        "Symbol('s77', cls=Integer)",
        "Symbol('__import__(\"os\")')",
        "Symbol(*[1])",
        "Symbol(**{{}})",
        "(lambda: 1)()",
        "[s for s in (1,)]",
        "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
        "9**9**9**9",
        "9" * 30,
        "sympify('1')",
        "exec('1')",
        "s0 if s0 else s0",
        "f'{{s0}}'",
        "factorial(99999999)",
        "s0 +",
        "Add(" * 300 + ")" * 300,
        "Add(Integer(1), Integer(1))" + " " * 3000,
    ],
)
@pytest.mark.parametrize("place", ["size", "value"])
def test_expressions_are_arithmetic_only(tmp_path, good, text, place):
    text = text.format(marker=tmp_path / "ran") if "{" in text else text

    def edit(content):
        if place == "size":
            sizes(content, text)
        else:
            graph(content)["sym_int_values"]["sym_size_int"] = expression(text)

    refused(tmp_path, edited(good, MODEL, edit), "was not opened: .*(no expression of|long expression of) sizes")


TARGETS = [
    *("torch.hub.load", "torch.load", "torch.ops.load_library", "torch.utils._pytree.treespec_loads", "torch.compile"),
    *("os.system", "builtins.exec", "posix.system", "_operator.methodcaller", "_operator.attrgetter", "_operator.call"),
    *("_operator.pow", "math.factorial", "torch.ops.higher_order.cond", "torch.ops.mylib.op.default", "#custom:op"),
    *("torch.ops.aten.save.default", "torch.ops.aten.from_file.default", "torch.ops.aten.warn.default"),
    *("torch.ops.aten.add.__class__", "torch.ops.aten.add.default", "torch.ops.aten.add", "torch.ops.aten"),
    *(
        "torch.ops.aten._print.default",
        "torch.ops.aten._sparse_coo_tensor_unsafe.default",
        "torch.ops.aten.set_.default",
    ),
    *("torch.ops.aten.empty.memory_format", "torch.ops.aten.relu.default\n", "torch.ops.aten.relu.default;x", ""),
]


@pytest.mark.parametrize("target", TARGETS)
def test_only_operators_on_tensors_are_called(tmp_path, good, target):
    def edit(content):
        graph(content)["nodes"][-1].update(
            target=target,
            inputs=[{"name": "self", "arg": {"as_string": f"touch {tmp_path / 'ran'}"}, "kind": 1}],
        )

    refused(tmp_path, edited(good, MODEL, edit), "was not opened: it calls '.*', and only PyTorch's own operators on")


@pytest.mark.parametrize(
    "argument",
    [
        {"as_operator": "torch.hub.load"},
        {"as_custom_obj": {"name": "x", "class_fqn": "torch.classes.X"}},
        {"as_string_to_argument": {"x": {"as_int": 1}}},
        {"as_graph": {"name": "x", "graph": "GRAPH"}},
    ],
)
def test_operators_take_tensors_and_numbers(tmp_path, good, argument):
    def edit(content):
        whole = json.loads(json.dumps(argument).replace('"GRAPH"', json.dumps(graph(content))))
        graph(content)["nodes"][-1]["inputs"].append({"name": "other", "arg": whole, "kind": 1})

    refused(tmp_path, edited(good, MODEL, edit), "was not opened: it passes a .* to an operator")


CODE = "x):\n    import os; os.system('touch MARKER')\ndef g(y"


@pytest.mark.parametrize("name", [CODE, "a.b", "a b", "a'b", 'a"b', "a\nb", "__class__", "é"])
def test_names_of_values_are_plain(tmp_path, good, name):
    """PyTorch writes them into Python source."""
    name = name.replace("MARKER", str(tmp_path / "ran"))
    text = good[MODEL].decode().replace('"relu"', json.dumps(name))
    assert json.dumps(name) in text
    refused(tmp_path, {**good, MODEL: text.encode()}, "was not opened: .* is no name of a value")


@pytest.mark.parametrize(
    "path", ['a"),__import__("os").system("touch MARKER")', "a.b[0]", "a..b", "a b", "__class__", "a.__dict__"]
)
@pytest.mark.parametrize("field", ["module", "parameter", "fqn"])
def test_paths_of_modules_are_plain(tmp_path, good, path, field):
    path = path.replace("MARKER", str(tmp_path / "ran"))

    def edit(content):
        module = content["graph_module"]
        if field == "module":
            metadata = graph(content)["nodes"][0]["metadata"]
            metadata["nn_module_stack"] = f"L__self__,,Net;L__self___0,{path},Conv2d"
        elif field == "parameter":
            next(s for s in module["signature"]["input_specs"] if "parameter" in s)["parameter"]["parameter_name"] = (
                path
            )
        else:
            module["module_call_graph"][1]["fqn"] = path

    refused(tmp_path, edited(good, MODEL, edit), "was not opened: .* is no (name|path) of")


def test_counters_stay_small(tmp_path, good):
    """PyTorch counts to the number in a symbol's name."""

    def edit(content):
        content["range_constraints"]["u9999999999999"] = {"min_val": 0, "max_val": None}

    refused(tmp_path, edited(good, MODEL, edit), "'u9999999999999' is no name of a size")


@pytest.mark.parametrize(
    "field", ["guards_code", "verifiers", "torch_version", "in_spec", "out_spec", "stack", "custom"]
)
def test_what_is_dropped_may_say_anything(tmp_path, good, field):
    hostile = code(tmp_path / "ran")

    def edit(content):
        if field in {"guards_code", "verifiers"}:
            content[field] = [hostile]
        elif field == "torch_version":
            content[field] = hostile
        elif field == "stack":
            graph(content)["nodes"][0]["metadata"].update(stack_trace=hostile, source_fn_stack=f"x,{hostile}")
        elif field == "custom":
            content["graph_module"].update(
                metadata={"custom": hostile}, treespec_namedtuple_fields={"os.system": {"field_names": [hostile]}}
            )
        else:
            spec = {"type": "os.system", "context": json.dumps(hostile), "children_spec": []}
            content["graph_module"]["module_call_graph"][0]["signature"][field] = json.dumps([1, spec])

    write(tmp_path / "net.pt2", edited(good, MODEL, edit))
    assert shapes(registry.load(f"export:{tmp_path / 'net.pt2'}")) == {"1": (4, 30, 30)}
    assert not (tmp_path / "ran").exists()


def meta(**changes):
    def edit(config):
        next(iter(config["config"].values()))["tensor_meta"].update(changes)

    return edit


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": [{"as_int": 2**40}] * 2, "strides": [{"as_int": 0}] * 2},
        {"sizes": [{"as_int": 1}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 2**40}},
        {"sizes": [{"as_int": 2}], "strides": [{"as_int": 2**40}]},
        {"sizes": [{"as_int": -1}] * 2, "strides": [{"as_int": 1}] * 2},
        {"sizes": [{"as_expr": {"expr_str": "1"}}]},
        {"dtype": 99},
    ],
)
def test_tensors_lie_inside_their_bytes(tmp_path, good, changes):
    refused(tmp_path, edited(good, WEIGHTS, meta(**changes)), "is no exported program, or a broken one")


def test_an_archive_that_unfolds_is_refused(tmp_path, good):
    write(tmp_path / "net.pt2", {**good, "net/extra/bomb": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidRequest, match="no exported program, or a broken one"):
        registry.load(f"export:{tmp_path / 'net.pt2'}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda members: {k: v for k, v in members.items() if k != MODEL},
            "holds no program, only compiled code or data",
        ),
        (lambda members: {**members, "net/models/b.json": members[MODEL]}, r"holds several programs \(model, b\)"),
        (lambda members: {**members, MODEL: b"{}"}, "holds no program that PyTorch .* reads"),
        (lambda members: {**members, MODEL: b"[" * 100000}, "no exported program, or a broken one"),
        (
            lambda members: edited(members, WEIGHTS, lambda config: config["config"].popitem()),
            "cannot rebuild the program",
        ),
        (lambda members: edited(members, MODEL, lambda c: graph(c)["nodes"].reverse()), "cannot rebuild the program"),
        (lambda members: edited(members, MODEL, lambda c: c["schema_version"].update(major=99)), "cannot rebuild"),
    ],
)
def test_inconsistent_files_get_one_line(tmp_path, good, change, message):
    refused(tmp_path, change(good), message)
