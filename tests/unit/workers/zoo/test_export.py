"""Programs of torch.export: saved by PyTorch, compared with the module they came from; and hostile ones."""

import io
import json
import logging
import os
import pickle
import zipfile

import pytest
import timm
import torch
from runs import images, maps, shapes
from torch import nn
from torch._export.serde.serialize import serialize
from torchvision.models import resnet18

from rosetta.errors import InvalidRequest
from workers.pipelines.layers import trace
from workers.zoo import registry

torch.set_num_threads(2)
BATCH = {0: torch.export.Dim("batch")}


def program(module, size=32, channels=3, shapes=BATCH, count=2):
    shape = (size, size) if isinstance(size, int) else size
    example = torch.rand(count, channels, *shape, generator=torch.Generator().manual_seed(0))
    return torch.export.export(module, (example,), dynamic_shapes=(shapes,))


def export(module, file, **arguments):
    torch.export.save(program(module.eval(), **arguments), file)
    return file


def originals(module, batch, layers):
    """{layer: what the original module gives}, at its first call."""
    found = {}

    def keep(layer):
        def hook(_module, _inputs, output):  # what it returned would take the output's place
            found.setdefault(layer, output.clone())

        return hook

    handles = [module.get_submodule(layer).register_forward_hook(keep(layer)) for layer in layers]
    with torch.inference_mode():
        found[""] = module(batch)
    for handle in handles:
        handle.remove()
    return found


def test_a_resnet_gives_its_stages_and_every_path_what_it_gave(tmp_path):
    torch.manual_seed(0)
    module = resnet18(weights=None).eval()
    network = registry.load(f"export:{export(module, tmp_path / 'ResNet18.pt2', size=64)}")
    assert shapes(network) == {
        "relu": (64, 32, 32),
        "layer1": (64, 16, 16),
        "layer2": (128, 8, 8),
        "layer3": (256, 4, 4),
        "layer4": (512, 2, 2),
    }
    batch = images(network)
    layers = ("conv1", "layer1.0.relu", "layer1.0", "layer2.0.downsample.1", "layer3", "layer4.1.bn2", "fc")
    expected, found = originals(module, batch, layers), maps(network, batch, layers=layers)
    for layer in layers:
        assert torch.equal(found[layer].flatten(1), expected[layer].flatten(1)), layer
    with torch.inference_mode():
        assert torch.equal(network.module(batch), expected[""])
        assert torch.equal(network.module(batch[:1]), module(batch[:1]))
    assert (network.family, network.aliases) == ("export", ("resnet18",))
    assert not any(parameter.requires_grad for parameter in network.module.parameters())


def test_a_vit_gives_the_activations_of_its_mlps(tmp_path):
    torch.manual_seed(0)
    module = timm.create_model("test_vit").eval()
    network = registry.load(f"export:{export(module, tmp_path / 'vit.pt2', size=160)}")
    assert shapes(network) == {f"blocks.{index}.mlp.act": (192, 10, 10) for index in range(6)}
    batch = images(network)
    expected = originals(module, batch, network.layers)
    for layer, found in maps(network, batch).items():
        assert torch.equal(found, expected[layer][:, 1:].transpose(1, 2).unflatten(2, (10, 10)))
    assert [shape.name for shape in trace(network, network.layers, "vit")] == list(network.layers)


class Net(nn.Module):
    """Two scales, a shared activation, a constant, a buffer that is not saved, and two heads."""

    def __init__(self, outputs=lambda a, b: b):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.act = nn.ReLU()
        self.deep = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.SiLU())
        self.tied = nn.Linear(6, 6)
        self.head = nn.Linear(6, 6)
        self.head.weight = self.tied.weight
        self.register_buffer("scale", torch.full((1, 4, 1, 1), 2.0), persistent=False)
        self.outputs = outputs

    def forward(self, x):
        x = self.act(self.stem(x) * self.scale)
        x = self.act(x + torch.tensor([[[1.0]]]))
        x = self.deep(x)
        vector = self.tied(x.mean((2, 3)))
        return self.outputs(x, self.head(vector + torch.arange(6, device=x.device)))


@pytest.mark.parametrize(
    "outputs", [lambda a, b: b, lambda a, b: (a, b), lambda a, b: {"maps": a, "more": [b]}], ids=["one", "two", "deep"]
)
def test_any_outputs_will_do(tmp_path, outputs):
    torch.manual_seed(0)
    module = Net(outputs).eval()
    network = registry.load(f"export:{export(module, tmp_path / 'net.pt2')}")
    assert network.layers == ("act~1", "deep")
    batch = images(network)
    expected = originals(module, batch, ("act", "deep"))
    found = maps(network, batch, layers=("act", "act~1", "deep"))
    for layer in ("act", "deep"):
        assert torch.equal(found[layer], expected[layer])
    assert torch.equal(found["act~1"], expected["act"] + 1)  # both are positive
    with torch.inference_mode():
        given = network.module(batch)
    last = given[-1] if isinstance(given, list) else given
    wanted = expected[""]
    wanted = wanted["more"][0] if isinstance(wanted, dict) else wanted[-1] if isinstance(wanted, tuple) else wanted
    assert torch.equal(last, wanted)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())

    def forward(self, x):
        return self.block(self.block(x)).mean((2, 3))


def test_every_call_of_a_module_can_be_recorded(tmp_path):
    torch.manual_seed(0)
    module = Twice().eval()
    network = registry.load(f"export:{export(module, tmp_path / 'net.pt2')}")
    assert network.layers == ("block~1",)
    batch = images(network)
    found = maps(network, batch, layers=("block.0", "block", "block~1.0~1", "block~1"))
    with torch.inference_mode():
        assert torch.equal(found["block.0"], module.block[0](batch))
        assert torch.equal(found["block"], module.block(batch))
        assert torch.equal(found["block~1.0~1"], module.block[0](module.block(batch)))
        assert torch.equal(found["block~1"], module.block(module.block(batch)))
    assert sum(parameter.numel() for parameter in network.module.parameters()) == 3 * 3 * 9 + 3


def test_it_runs_on_the_device_of_its_input(tmp_path):
    """Constants, buffers and calls that name a device follow; `meta` is a device that is always there."""
    network = registry.load(f"export:{export(Net(), tmp_path / 'net.pt2')}")
    network.module.to("meta")
    with torch.inference_mode():
        assert network.module(torch.rand(3, 3, 32, 32, device="meta")).shape == (3, 6)


def test_a_gray_network_sees_the_mean_of_the_colours(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()).eval()
    network = registry.load(f"export:{export(module, tmp_path / 'gray.pt2', channels=1)}")
    batch = images(network)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch.mean(1, keepdim=True)))


def test_sizes_and_normalisation_of_the_address(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(1))
    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
    file = export(module, tmp_path / "any.pt2", size=(32, 48), shapes=sides)
    preprocessing = registry.load(f"export:{file}").preprocessing
    assert (preprocessing.height, preprocessing.width) == (224, 224)
    assert (preprocessing.mean, preprocessing.std) == ((0, 0, 0), (1, 1, 1))
    network = registry.load(f"export:{file}?size=64x32&mean=0.5&std=0.1,0.2,0.3&interpolation=bicubic")
    assert shapes(network) == {"1": (4, 32, 16)}
    assert network.preprocessing.std == (0.1, 0.2, 0.3)
    assert network.preprocessing.interpolation == "bicubic"
    with pytest.raises(InvalidRequest, match="a source export: has no option 'colour': it knows size, mean"):
        registry.load(f"export:{file}?colour=red")


def test_a_fixed_size_is_kept(tmp_path):
    file = export(Net(), tmp_path / "net.pt2")
    with pytest.raises(InvalidRequest, match=r"net.pt2 takes images of 32x32, not 64"):
        registry.load(f"export:{file}?size=64")


def older(module, file, layout):
    """The file as PyTorch 2.7 or 2.8 wrote it."""
    artifact = serialize(program(module.eval()))
    if layout == "2.7":
        members = {
            "version": b"8.8",
            "serialized_exported_program.json": artifact.exported_program,
            "serialized_state_dict.pt": artifact.state_dict,
            "serialized_constants.pt": artifact.constants,
            "serialized_example_inputs.pt": artifact.example_inputs,
        }
    else:
        members = {
            "net/models/model.json": artifact.exported_program,
            "net/data/weights/model.pt": artifact.state_dict,
            "net/data/constants/model.pt": artifact.constants,
            "net/data/sample_inputs/model.pt": artifact.example_inputs,
            "net/archive_format": b"pt2",
        }
    write(file, members)
    return file


@pytest.mark.parametrize("layout", ["2.7", "2.8"])
def test_older_layouts_are_read(tmp_path, layout):
    torch.manual_seed(0)
    module = Net().eval()
    network = registry.load(f"export:{older(module, tmp_path / 'net.pt2', layout)}")
    batch = images(network)
    with torch.inference_mode():
        assert torch.equal(network.module(batch), module(batch))


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


@pytest.mark.parametrize(
    ("module", "example", "came"),
    [
        (nn.Linear(8, 2), (torch.rand(2, 8),), r"input float \[\?, 8\]"),
        (nn.Conv2d(5, 2, 1), (torch.rand(2, 5, 8, 8),), r"input float \[\?, 5, 8, 8\]"),
        (nn.Conv2d(3, 2, 1).double(), (torch.rand(2, 3, 8, 8).double(),), r"input double \[\?, 3, 8, 8\]"),
        (TwoInputs(), (torch.rand(2, 3, 8, 8),) * 2, r"x float .*, y float "),
    ],
)
def test_what_takes_no_image_is_named(tmp_path, module, example, came):
    exported = torch.export.export(module, example, dynamic_shapes=tuple({0: torch.export.Dim.AUTO} for _ in example))
    torch.export.save(exported, tmp_path / "net.pt2")
    with pytest.raises(InvalidRequest, match=rf"must have one input, a float32 image \[N, 3, H, W\]; it has {came}"):
        registry.load(f"export:{tmp_path / 'net.pt2'}")


@pytest.mark.parametrize(
    ("shapes", "taken"),
    [(None, "2"), ({0: torch.export.Dim("batch", min=2, max=8)}, r"\d to 8")],
    ids=["fixed", "bound"],
)
def test_a_batch_that_is_not_free_gets_the_mend(tmp_path, shapes, taken):
    file = export(Net(), tmp_path / "net.pt2", shapes=shapes)
    mend = (
        rf"takes batches of {taken} images only: .*dynamic_shapes=\{{\"x\": \{{0: torch.export.Dim\(\"batch\"\)\}}\}}"
    )
    with pytest.raises(InvalidRequest, match=mend):
        registry.load(f"export:{file}")


@pytest.mark.parametrize("part", [nn.BatchNorm2d(4), nn.Dropout(0.5)], ids=["statistics", "dropout"])
def test_a_program_in_training_mode_is_refused(tmp_path, part):
    torch.export.save(program(nn.Sequential(nn.Conv2d(3, 4, 3), part, nn.ReLU()).train()), tmp_path / "net.pt2")
    with pytest.raises(InvalidRequest, match=r"call model.eval\(\) before torch.export.export"):
        registry.load(f"export:{tmp_path / 'net.pt2'}")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 and no more"])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / "net.pt2").write_bytes(content)
    with pytest.raises(
        InvalidRequest, match=r"'net.pt2' is no exported program, or a broken one: save the program"
    ) as e:
        registry.load(f"export:{tmp_path / 'net.pt2'}")
    assert "\n" not in e.value.message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match=r"there is no exported program '.*nowhere.pt2'"):
        registry.load(f"export:{tmp_path / 'nowhere.pt2'}")


# Hostile files: a good one, with something changed.


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


MODEL, WEIGHTS, CONSTANTS = (
    "net/models/model.json",
    "net/data/weights/model_weights_config.json",
    "net/data/constants/model_constants_config.json",
)


def write(file, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


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
        "Integer(1) # comment",
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

    if text.endswith("# comment"):
        pytest.skip("a comment is nothing")
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
