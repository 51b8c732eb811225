"""What a trial pass tells of every module of a network."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

from rosetta.results import Module
from tests.integration.jobs import tiny
from workers.pipelines.inspect import inspect
from workers.zoo.base import LayerError, Network, Preprocessing, Recording
from workers.zoo.locations import Locations
from workers.zoo.maps import plain_maps


def network(module, layers=(), **changes):
    taken = {"preprocessing": Preprocessing(8, 12, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)), **changes}
    return Network(module.eval(), layers, "0", "test", **taken)


def found(modules):
    """{path: shape, or why there is none}."""
    return {module.path: module.why_not or (module.channels, module.height, module.width) for module in modules}


def test_every_module_in_the_order_of_the_tree():
    nested = tiny.load("nested", Locations())
    modules = inspect(nested, nested.layers)
    assert [(module.path, module.class_name) for module in modules] == [
        ("last", "Linear"),
        ("first", "Sequential"),
        ("first.0", "Conv2d"),
        ("first.1", "ReLU"),
        ("second", "Conv2d"),
        ("never", "Conv2d"),
    ]
    assert found(modules) == {
        "last": (7, 1, 1),
        "first": (4, 8, 12),
        "first.0": (4, 8, 12),
        "first.1": (4, 8, 12),
        "second": (5, 4, 6),
        "never": "does not run",
    }
    assert [module.path for module in modules if module.chosen] == ["last", "first", "second"]
    assert {module.path: module.calls for module in modules if module.calls != 1} == {"never": 0}
    assert modules[-1] == Module("never", "Conv2d", None, None, None, calls=0, chosen=False, why_not="does not run")


def test_what_cannot_be_recorded_says_why_and_does_not_stop_the_others():
    odd = tiny.load("odd", Locations())
    assert found(inspect(odd, odd.layers)) == {
        "sound": (2, 16, 24),
        "pair": "2 outputs",
        "broken": "NaN or infinity",
    }


def test_a_generator_is_given_a_latent_and_its_class():
    generator = tiny.load("generator", Locations())
    modules = inspect(generator, generator.layers)
    assert found(modules) == {"0": (4, 4, 4), "1": (4, 4, 4), "2": (3, 8, 8), "3": (3, 8, 8)}
    assert [module.path for module in modules if module.chosen] == ["1"]


class Recorded(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Embedding.from_pretrained(torch.arange(12.0).view(4, 3))

    def forward(self, positions):
        assert positions.dtype == torch.int64
        assert positions.tolist() == [0]
        return self.layer(positions)


def test_a_recording_is_given_its_first_position():
    recording = network(Recorded(), preprocessing=None, recording=Recording(4, "faces"))
    assert found(inspect(recording, ["layer"])) == {"layer": (3, 1, 1)}


class Repeating(nn.Module):
    """One module that runs three times, at another size each time, and one that stands at two places of the tree."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.one = nn.Sequential(nn.ReLU())
        self.other = nn.Sequential(self.one[0])

    def forward(self, images):
        return self.other(self.one(self.pool(self.pool(self.pool(images)))))


def test_the_first_call_counts():
    modules = inspect(network(Repeating()), [])
    assert [(module.path, module.calls) for module in modules] == [("pool", 3), ("one", 1), ("one.0", 2), ("other", 1)]
    assert found(modules)["pool"] == (3, 4, 6)


class Windows(nn.Module):
    def forward(self, images):
        return images.unflatten(3, (2, 6)).permute(0, 3, 1, 2, 4).flatten(0, 1)


def faulty_maps(layer, output):
    if layer == "0":
        raise ZeroDivisionError("a source's\nown fault")
    if layer == "1":
        return output[0, :1]  # [1, H, W] is no maps
    if layer == "2":
        raise LayerError("a source's own words")
    return plain_maps(layer, output)


def test_whatever_a_reading_raises_is_told_of_its_module_alone():
    module = nn.Sequential(*[nn.Identity() for _ in range(4)], Windows())
    readings = found(inspect(network(module, to_maps=faulty_maps), []))
    assert readings["0"] == "ZeroDivisionError: a source's own fault"
    assert readings["1"].startswith("ValueError: not enough values")
    assert readings["2"] == "a tensor of shape [1, 3, 8, 12]"
    assert readings["3"] == (3, 8, 12)
    assert readings["4"] == "a tensor of shape [2, 3, 8, 6]"


class Watched(nn.Conv2d):
    """Says how many outputs of its kind are alive when it begins."""

    outputs: list[weakref.ref] = []  # noqa: RUF012
    alive: list[int] = []  # noqa: RUF012

    def forward(self, images):
        Watched.alive.append(sum(reference() is not None for reference in Watched.outputs))
        output = super().forward(images)
        Watched.outputs.append(weakref.ref(output))
        return output


def test_no_output_and_no_hook_stays():
    module = nn.Sequential(*[Watched(3, 3, 1) for _ in range(6)])
    inspect(network(module), [])
    assert max(Watched.alive) == 1  # the one that it is given
    assert not any(reference() is not None for reference in Watched.outputs)
    assert not any(each._forward_hooks for each in module.modules())


def test_the_pass_itself_may_fail():
    with pytest.raises(RuntimeError, match="expected input"):
        inspect(network(nn.Sequential(nn.Conv2d(4, 4, 1))), [])
