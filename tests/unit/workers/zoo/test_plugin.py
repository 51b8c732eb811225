"""The example package of the documents, really installed; and broken ones."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rosetta.errors import InvalidRequest, RosettaError
from workers.zoo import registry

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the example package in it, as pip puts it there."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "docs" / "plugin", source)  # building leaves files behind
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run([*pip, *flags, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


USE = """
import json, sys
from pathlib import Path
import torch
from rosetta.errors import InvalidRequest, RosettaError
from workers.pipelines.layers import trace
from workers.zoo import registry
source, folder = sys.argv[1:]
try:
    network = registry.load(source, folders=[Path(folder)])
except InvalidRequest as error:
    print(json.dumps({"error": error.message}))
    sys.exit()
shapes = trace(network, network.layers, "mine")
with torch.inference_mode():
    output = network.module(torch.full((2, 3, 32, 32), 0.5))
print(json.dumps({
    "shapes": {shape.name: [shape.channels, shape.height, shape.width] for shape in shapes},
    "output": output.tolist(),
    "family": network.family,
    "digest": network.weights_digest,
}))
"""


def use(installed, source, folder):
    """What a worker that was started after the installation sees."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", USE, source, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def example(monkeypatch):
    """The example's module, to make weights of it."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "plugin"))
    import rosetta_lenet

    yield rosetta_lenet
    sys.modules.pop("rosetta_lenet")


def test_the_example_is_installed_loaded_traced_and_run(tmp_path, installed, example):
    torch.manual_seed(0)
    module = example.lenet().eval()
    save_file(module.state_dict(), tmp_path / "lenet-cifar10.safetensors")
    found = use(installed, "lenet:cifar10", tmp_path)
    assert found["shapes"] == {"stage1.1": [6, 28, 28], "stage2.1": [16, 10, 10], "stage3.1": [120, 1, 1]}
    assert found["family"] == "lenet"
    assert len(found["digest"]) == 64
    with torch.inference_mode():
        expected = module(torch.full((2, 3, 32, 32), 0.5))
    assert torch.allclose(torch.tensor(found["output"]), expected, atol=1e-6)


def test_its_errors_are_one_line(tmp_path, installed):
    error = use(installed, "lenet:cifar10", tmp_path)["error"]
    assert error == (
        f"there are no weights of lenet:cifar10 at hand: put the file at {tmp_path}/lenet-cifar10.safetensors, "
        "or pass --weights FILE with the weights of lenet:cifar10"
    )
    known = use(installed, "lenett:cifar10", tmp_path)["error"]
    assert "names no source of models: begin it with one of" in known
    assert known.endswith("lenet:")
    save_file({"a": torch.ones(1)}, tmp_path / "lenet-mnist.safetensors")
    error = use(installed, "lenet:mnist", tmp_path)["error"]
    assert "'lenet-mnist.safetensors' does not fit LeNet-5: missing stage1.0.weight (and 7 more); unexpected a" in error


def test_the_example_is_as_short_as_promised():
    lines = (ROOT / "docs" / "plugin" / "rosetta_lenet.py").read_text().splitlines()
    assert len([line for line in lines if line.strip() and not line.strip().startswith('"""')]) <= 30


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plugin whose module is the given code."""

    def install(code, value="broken_source"):
        (tmp_path / "broken_source.py").write_text(code)
        point = EntryPoint(name="broken", value=value, group=registry.GROUP)
        monkeypatch.setattr(registry, "_plugins", lambda: {"broken": point, "timm": point})
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("broken_source", None)


@pytest.mark.parametrize(
    ("code", "value", "message"),
    [
        ("import nothing_of_the_kind", "broken_source", r"cannot be imported \(ModuleNotFoundError: No module named"),
        (
            "raise OSError('no\\nlicence')",
            "broken_source",
            r"cannot be imported \(OSError: no licence\): update or uninst",
        ),
        ("load = (", "broken_source", r"cannot be imported \(SyntaxError: "),
        ("", "broken_source:Source", r"cannot be imported \(AttributeError: "),
        ("load = 3", "broken_source", r"has no load\(reference, locations\): update its package"),
    ],
)
def test_a_broken_plugin_fails_with_one_line(plugin, code, value, message):
    plugin(code, value)
    with pytest.raises(InvalidRequest, match=rf"the plugin of 'broken:' \({value}\) {message}") as caught:
        registry.load("broken:x")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('x\\ny')", r"the plugin of 'broken:' failed on 'x' \(KeyError: .*\): tell its author"),
        ("return None", r"failed on 'x' \(TypeError: it returned a NoneType, not a Network\): tell its author"),
        ("from rosetta.errors import NotFound; raise NotFound('no x')", "^no x$"),
    ],
)
def test_a_plugin_that_fails_gets_one_line_and_its_own_errors_pass(plugin, body, message):
    plugin(f"def load(reference, locations): {body}")
    with pytest.raises(RosettaError, match=message) as caught:
        registry.load("broken:x")
    assert "\n" not in caught.value.message


def test_our_own_schemes_cannot_be_taken(plugin):
    plugin("def load(reference, locations): raise AssertionError('taken')")
    with pytest.raises(InvalidRequest, match="timm has no architecture 'nothing'"):
        registry.load("timm:nothing")
