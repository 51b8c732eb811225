import pytest
import torch
from torch import nn

from workers.mining.activations import Recorder


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(inplace=True), nn.Linear(3, 1)).eval()


def test_outputs_are_handed_over_before_an_in_place_module_changes_them():
    module, seen = network(), {}
    inputs = torch.randn(4, 2)
    with Recorder(module, ["1", "2"], lambda layer, output: seen.update({layer: output.clone()})) as recorder:
        assert recorder.run(inputs) is None
    torch.testing.assert_close(seen["1"], module[1](module[0](inputs)))
    torch.testing.assert_close(seen["2"], seen["1"].relu())


def test_the_pass_stops_after_the_last_wanted_layer_and_hooks_detach():
    module, calls = network(), []
    module[3].register_forward_hook(lambda *_: calls.append(1))
    with Recorder(module, ["0"], lambda *_: None) as recorder:
        recorder.run(torch.zeros(1, 2))
        assert not calls
        assert recorder.run_whole(torch.zeros(1, 2)).shape == (1, 1)
    assert not any(child._forward_hooks for child in module[:3])


def test_hooks_detach_after_an_error():
    module = network()
    with pytest.raises(RuntimeError), Recorder(module, ["0"], lambda *_: None) as recorder:
        recorder.run(torch.zeros(1, 7))
    assert not module[0]._forward_hooks


def test_an_unknown_layer_is_a_key_error():
    with pytest.raises(KeyError, match="9"):
        Recorder(network(), ["9"], lambda *_: None)
