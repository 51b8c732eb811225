"""What a model sees, at the units of its pairs."""

import pytest
import torch

from rosetta.errors import InvalidRequest
from tests.unit.workers.translation.planted import eye
from workers.translation.targets import Pair, Side, Targets, look_at


def pair(channel, mean=0.2, std=0.5, generator_std=1.0):
    return Pair(Side("main", 0, 0.0, generator_std), Side("units", channel, mean, std))


def images():
    return torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)


def test_maps_in_deviations_of_each_unit():
    pairs = [pair(2, 0.1, 0.25), pair(0), pair(2, 0.1, 0.25)]
    found = look_at(eye(), images(), pairs)
    assert found.images == 3
    (layer,) = found.layers
    gray = images()[:, 0]
    torch.testing.assert_close(layer.maps[:, 0], (-gray - 0.1) / 0.25)
    assert layer.maps[:, 2].equal(layer.maps[:, 0])
    left = gray.clone()
    left[..., 4:] = 0
    torch.testing.assert_close(layer.maps[:, 1], (left - 0.2) / 0.5)
    assert layer.pairs == tuple(pairs)


def test_some_of_the_images():
    found = look_at(eye(), images(), [pair(0)])
    assert found.rows([2, 0]).layers[0].maps.equal(found.layers[0].maps[[2, 0]])
    assert isinstance(found.rows([1]), Targets)


def test_dead_units_say_nothing():
    found = look_at(eye(), images(), [pair(0, std=0.0), pair(1), pair(2, generator_std=float("nan"))])
    assert [one.model.channel for one in found.layers[0].pairs] == [1]
    with pytest.raises(InvalidRequest, match="no matched pair of two living units"):
        look_at(eye(), images(), [pair(0, std=0.0)])


def test_activations_that_are_not_finite():
    broken = images().clone()
    broken[1, :, 0, 0] = torch.nan
    with pytest.raises(InvalidRequest, match="layer units: NaN or infinite activation on image 1"):
        look_at(eye(), broken, [pair(0)])
