"""The client's resizing against torch's: what the coefficients were fitted with."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from rosetta.translating import resize


@pytest.mark.parametrize(
    ("old", "new"), [((7, 7), (16, 16)), ((56, 40), (7, 9)), ((5, 12), (12, 5)), ((4, 4), (1, 1)), ((1, 1), (3, 2))]
)
def test_maps_are_resized_as_they_were_for_the_fit(old, new):
    maps = np.random.default_rng(0).standard_normal((2, 3, *old)).astype(np.float32)
    expected = functional.interpolate(
        torch.from_numpy(maps), size=new, mode="bilinear", align_corners=False, antialias=True
    )
    np.testing.assert_allclose(resize(maps, new), expected.numpy(), atol=2e-6)


def test_a_map_of_that_size_is_itself():
    maps = np.ones((1, 1, 4, 4), np.float32)
    assert resize(maps, (4, 4)) is maps
