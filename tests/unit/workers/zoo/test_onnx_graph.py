"""ONNX files: made by PyTorch's exporter or by hand, converted, and compared with ONNX's own evaluator."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from runs import images, maps, shapes
from torch import nn
from torchvision.models import mobilenet_v3_small, resnet18

from rosetta.errors import InvalidRequest
from workers.zoo import registry
from workers.zoo.onnx_convert import Slice


def export(module, file, size=64, opset=17, batch="dynamic"):
    torch.manual_seed(0)
    axes = {"dynamic": {"images": {0: "N"}}, "any size": {"images": {0: "N", 2: "H", 3: "W"}}, "fixed": {}}[batch]
    example = (torch.rand(1, 3, size, size),)
    options = {"dynamo": False, "opset_version": opset, "input_names": ["images"], "dynamic_axes": axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the exporter is the old one: it needs no further package
        torch.onnx.export(module.eval(), example, file, **options)
    return file


def build(tmp_path, nodes, opset=17, image=("N", 3, 8, 8), weights=(), inputs=None):
    """A model by hand; its output is the last node's."""
    inputs = inputs or [helper.make_tensor_value_info("images", TensorProto.FLOAT, image)]
    output = helper.make_empty_tensor_value_info(nodes[-1].output[0])
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()]
    graph = helper.make_graph(nodes, "g", inputs, [output], tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def agrees(network, file, atol=1e-4):
    batch = images(network)
    model = onnx.load(file)
    expected = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: batch.numpy()})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(network.module(batch).numpy(), expected, atol=atol)


KERNEL = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype("f")
CONV = helper.make_node("Conv", ["images", "w"], ["a"], name="conv", pads=[1, 1, 1, 1])


def test_a_resnet_gives_the_end_of_each_stage(tmp_path):
    torch.manual_seed(0)
    module = resnet18(weights=None)
    network = registry.load(f"onnx:{export(module, tmp_path / 'resnet18.onnx')}")
    assert shapes(network) == {
        "relu/Relu": (64, 32, 32),
        "layer1/layer1/1/relu_1/Relu": (64, 16, 16),
        "layer2/layer2/1/relu_1/Relu": (128, 8, 8),
        "layer3/layer3/1/relu_1/Relu": (256, 4, 4),
        "layer4/layer4/1/relu_1/Relu": (512, 2, 2),
    }
    batch = images(network)
    with torch.inference_mode():
        assert torch.allclose(network.module(batch), module(batch), atol=1e-4)
    assert (network.family, network.aliases) == ("onnx", ("resnet18",))
    assert network.details["producer"].startswith("pytorch")


def test_gates_of_whole_channels_are_no_default_layers(tmp_path):
    network = registry.load(f"onnx:{export(mobilenet_v3_small(weights=None), tmp_path / 'm.onnx')}")
    grids = [shape[1:] for shape in shapes(network).values()]
    assert grids == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]


class TinyViT(nn.Module):
    """Two blocks on 4x4 patches and a class token, in plain operators."""

    def __init__(self, activation):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), activation(), nn.Linear(32, 16)) for _ in range(2))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        for mlp in self.mlps:
            x = x + mlp(x)
        return self.head(x[:, 0])


@pytest.mark.parametrize("activation", [nn.GELU, nn.SiLU, nn.ReLU])
def test_a_vit_gives_the_activations_of_its_mlps(tmp_path, activation):
    torch.manual_seed(0)
    module = TinyViT(activation).eval()
    network = registry.load(f"onnx:{export(module, tmp_path / 'vit.onnx')}")
    assert list(shapes(network).values()) == [(32, 4, 4)] * 2
    batch = images(network)
    with torch.inference_mode():
        tokens = torch.cat([module.token.expand(2, -1, -1), module.patches(batch).flatten(2).transpose(1, 2)], dim=1)
        expected = module.mlps[0][:2](tokens)[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    assert torch.allclose(maps(network, batch)[network.layers[0]], expected, atol=1e-5)


def test_a_newer_label_is_all_that_may_differ(tmp_path):
    pads = {"w": KERNEL, "p": np.array([0, 0, 1, 0, 0, 0, 0, 2])}
    nodes = [CONV, helper.make_node("Relu", ["a"], ["b"], name="relu"), helper.make_node("Pad", ["b", "p"], ["c"])]
    file = build(tmp_path, nodes, opset=18, weights=pads)
    network = registry.load(f"onnx:{file}")
    assert network.details["opset"] == 18
    agrees(network, file)


@pytest.mark.parametrize("opset", [18, 20, 21])
def test_newer_operators_are_rewritten(tmp_path, opset):
    """Axes of a mean became an input, and GELU an operator of its own."""
    activation = helper.make_node("Gelu" if opset >= 20 else "Relu", ["a"], ["b"], name="act.one: x")
    nodes = [CONV, activation, helper.make_node("ReduceMean", ["b", "axes"], ["c"], name="mean", keepdims=0)]
    file = build(tmp_path, nodes, opset=opset, weights={"w": KERNEL, "axes": np.array([2, 3])})
    network = registry.load(f"onnx:{file}")
    assert network.layers == (("b",) if opset >= 20 else ("act/one_x",))
    agrees(network, file)
    batch = images(network)
    with torch.inference_mode():
        conv = nn.functional.conv2d(batch, torch.from_numpy(KERNEL), padding=1)
    expected = nn.functional.gelu(conv) if opset >= 20 else conv.relu()
    assert torch.allclose(maps(network, batch)[network.layers[0]], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "named"),
    [
        (helper.make_node("Rocket", ["a"], ["b"], domain="com.example"), r"Rocket \(opset 1\)"),
        (helper.make_node("Det", ["a"], ["b"]), r"Det \(opset 17\)"),
    ],
)
def test_an_operator_that_cannot_be_converted_is_named(tmp_path, node, named):
    file = build(tmp_path, [CONV, node], weights={"w": KERNEL})
    with pytest.raises(InvalidRequest, match=f"model.onnx uses {named}, which onnx2torch cannot convert") as caught:
        registry.load(f"onnx:{file}")
    assert "\n" not in caught.value.message


def test_sizes_and_normalisation_of_the_address(tmp_path):
    file = export(nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU()), tmp_path / "any.onnx", batch="any size")
    preprocessing = registry.load(f"onnx:{file}").preprocessing
    assert (preprocessing.height, preprocessing.width) == (224, 224)
    assert (preprocessing.mean, preprocessing.std) == ((0, 0, 0), (1, 1, 1))
    query = "size=32x48&mean=0.4,0.5,0.6&std=0.2&interpolation=bicubic"
    preprocessing = registry.load(f"onnx:{file}?{query}").preprocessing
    assert (preprocessing.height, preprocessing.width, preprocessing.interpolation) == (32, 48, "bicubic")
    assert (preprocessing.mean, preprocessing.std) == ((0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    assert registry.load("onnx:?size=40", file).preprocessing.height == 40


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sise=3", "no option 'sise': it knows size, mean, std, interpolation"),
        ("size=big", "'big' is no size: write size=224 or size=HEIGHTxWIDTH"),
        ("size=0", "'0' is no size"),
        ("size=32", "takes images of 64x64, not 32"),
        ("mean=a", "mean=a is neither one nor three numbers"),
        ("mean=1,2", "mean=1,2 is neither one nor three numbers"),
        ("std=0", "std=0 is neither one nor three positive numbers"),
        ("interpolation=nearest", "'nearest' is no interpolation"),
    ],
)
def test_a_malformed_address_is_named(tmp_path, query, message):
    file = export(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), tmp_path / "m.onnx")
    with pytest.raises(InvalidRequest, match=message):
        registry.load(f"onnx:{file}?{query}")


def test_a_fixed_batch_that_the_graph_does_not_need_is_no_hindrance(tmp_path):
    file = export(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), tmp_path / "m.onnx", batch="fixed")
    assert shapes(registry.load(f"onnx:{file}"))


def test_a_fixed_batch_that_the_graph_needs_is_named(tmp_path):
    nodes = [CONV, helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Reshape", ["b", "s"], ["c"])]
    file = build(tmp_path, nodes, image=(1, 3, 8, 8), weights={"w": KERNEL, "s": np.array([1, 256])})
    with pytest.raises(InvalidRequest, match=r"does not run on a batch of two 8x8 images .*dynamic batch"):
        registry.load(f"onnx:{file}")


@pytest.mark.parametrize(("image", "axes"), [(("N", 8, 8, 3), [0, 3, 1, 2]), (("N", 1, 8, 8), None)])
def test_channels_last_and_grey_inputs(tmp_path, image, axes):
    kernel = KERNEL if axes else KERNEL[:, :1]
    nodes = [helper.make_node("Transpose", ["images"], ["t"], perm=axes)] if axes else []
    first = "t" if axes else "images"
    nodes += [helper.make_node("Conv", [first, "w"], ["a"]), helper.make_node("Relu", ["a"], ["b"], name="r")]
    network = registry.load(f"onnx:{build(tmp_path, nodes, image=image, weights={'w': kernel})}")
    batch = images(network)
    seen = batch if axes else batch.mean(1, keepdim=True)
    expected = nn.functional.conv2d(seen, torch.from_numpy(kernel)).relu()
    assert torch.allclose(maps(network, batch)["r"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "came"),
    [
        ([("text", TensorProto.INT64, ("N", 77))], r"text int64 \[N, 77\]"),
        ([("a", TensorProto.FLOAT, (1, 3, 8, 8)), ("b", TensorProto.FLOAT, (1, 3, 8, 8))], "a float.*, b float"),
        ([("a", TensorProto.UINT8, (1, 3, 8, 8))], r"a uint8 \[1, 3, 8, 8\]"),
    ],
)
def test_inputs_other_than_one_image_are_named(tmp_path, inputs, came):
    values = [helper.make_tensor_value_info(*value) for value in inputs]
    file = build(tmp_path, [helper.make_node("Identity", [inputs[0][0]], ["y"])], inputs=values)
    with pytest.raises(InvalidRequest, match=rf"must have one input, a float32 image \[N, 3, H, W\]; it has {came}"):
        registry.load(f"onnx:{file}")


def test_five_channels_are_refused(tmp_path):
    nodes = [helper.make_node("Relu", ["images"], ["b"])]
    with pytest.raises(InvalidRequest, match="takes images of 5 channels"):
        registry.load(f"onnx:{build(tmp_path, nodes, image=('N', 5, 8, 8))}")


def test_weights_beside_the_file(tmp_path):
    file = export(nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU()), tmp_path / "m.onnx")
    whole = registry.load(f"onnx:{file}")
    model = onnx.load(file)
    (tmp_path / "split").mkdir()
    split = tmp_path / "split" / "m.onnx"
    onnx.save(model, split, save_as_external_data=True, location="m.data", size_threshold=0)
    network = registry.load(f"onnx:{split}")
    batch = images(network)
    assert torch.equal(network.module(batch), whole.module(batch))
    (split.parent / "m.data").write_bytes((split.parent / "m.data").read_bytes() + b" ")
    assert registry.load(f"onnx:{split}").weights_digest != network.weights_digest
    (split.parent / "m.data").unlink()
    with pytest.raises(InvalidRequest, match=r"keeps its weights in 'm.data', which is not beside it: save it as one"):
        registry.load(f"onnx:{split}")


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd"])
def test_weights_elsewhere_are_never_read(tmp_path, location):
    (tmp_path / "secret").write_bytes(b"0" * 4096)
    folder = tmp_path / "models"
    folder.mkdir()
    model = onnx.load(build(folder, [CONV], weights={"w": KERNEL}))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location, 0, 432)
    model.graph.initializer[0].ClearField("raw_data")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidRequest, match=f"keeps its weights in '{location}', which is not beside it"):
        registry.load(f"onnx:{folder / 'model.onnx'}")


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08\x07"])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"'m.onnx' is no ONNX model, or a broken one"):
        registry.load(f"onnx:{tmp_path / 'm.onnx'}")
    with pytest.raises(InvalidRequest, match=r"there is no ONNX file '.*nowhere.onnx'"):
        registry.load(f"onnx:{tmp_path / 'nowhere.onnx'}")


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps", "expected"),
    [
        ([1], [3], [1], None, np.s_[:, 1:3]),
        ([1, -2], [100, -1], None, None, np.s_[1:, -2:-1]),
        ([-1], [-(2**63)], [-1], [-1], np.s_[..., ::-1]),
        ([4, 0], [0, 5], [2, 0], [-2, 2], np.s_[0:5:2, :, 4:0:-2]),
    ],
)
def test_slices_are_numpys(starts, ends, axes, steps, expected):
    values = np.arange(2 * 5 * 6).reshape(2, 5, 6)
    arguments = [None if one is None else torch.tensor(one) for one in (starts, ends, axes, steps)]
    assert (Slice()(torch.from_numpy(values), *arguments).numpy() == values[expected]).all()
