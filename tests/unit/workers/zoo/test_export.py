"""Programs of torch.export: saved by PyTorch, compared with the module they came from."""

import pytest
import timm
import torch
from programs import Net, export, older, program
from runs import images, maps, shapes
from torch import nn
from torchvision.models import resnet18

from rosetta.errors import InvalidRequest
from workers.pipelines.layers import trace
from workers.zoo import registry

torch.set_num_threads(2)


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
