"""Outputs of layers as maps."""

import pytest
import torch

from workers.zoo.base import LayerError
from workers.zoo.maps import MapReader, plain_maps


def grid_tokens(height, width, prefix):
    """Tokens whose values say where they stand."""
    maps = torch.arange(2 * 3 * height * width, dtype=torch.float32).reshape(2, 3, height, width)
    tokens = maps.flatten(2).transpose(1, 2)
    return maps, torch.cat([torch.full((2, prefix, 3), -1.0), tokens], dim=1)


@pytest.mark.parametrize(("height", "width"), [(14, 14), (7, 14), (16, 10)])
@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_return_to_their_places(height, width, prefix):
    maps, tokens = grid_tokens(height, width, prefix)
    named = MapReader(height * 16, width * 16, grid=(height, width), prefix_tokens=prefix)
    by_ratio = MapReader(height * 16, width * 16, prefix_tokens=prefix)
    by_count = MapReader(height * 16, width * 16, prefix_tokens=None)
    for reader in (named, by_ratio, by_count):
        assert torch.equal(reader("blocks.0", tokens), maps)
    # Layers before the prefix is put on.
    assert torch.equal(named("patch_embed", tokens[:, prefix:]), maps)


def test_sequence_first():
    maps, tokens = grid_tokens(4, 6, 1)
    reader = MapReader(64, 96, prefix_tokens=1, sequence_first=True)
    assert torch.equal(reader("x", tokens.transpose(0, 1)), maps)


def test_a_named_grid_need_not_have_the_inputs_ratio():
    maps, tokens = grid_tokens(16, 16, 0)
    assert torch.equal(MapReader(230, 224, grid=(16, 16))("x", tokens), maps)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (224, 112), (97, 224)])
def test_channels_come_second(height, width):
    maps = torch.rand(2, 96, -(-height // 8), -(-width // 8))
    reader = MapReader(height, width)
    assert torch.equal(reader("x", maps), maps)
    assert torch.equal(reader("x", maps.permute(0, 2, 3, 1)), maps)


def test_an_output_that_could_be_either_is_what_the_network_says():
    cube = torch.rand(2, 7, 7, 7)
    assert torch.equal(MapReader(224, 224)("x", cube), cube)
    assert torch.equal(MapReader(224, 224, channels_last=True)("x", cube), cube.permute(0, 3, 1, 2))


@pytest.mark.parametrize("reader", [MapReader(64, 32), plain_maps])
def test_vectors_are_one_cell(reader):
    vector = torch.rand(5, 10)
    assert torch.equal(reader("fc", vector), vector[:, :, None, None])
    assert reader("pool", torch.rand(5, 10, 1, 1)).shape == (5, 10, 1, 1)


@pytest.mark.parametrize(
    ("output", "described"),
    [
        (torch.rand(2, 199, 8), r"a tensor of shape \[2, 199, 8\]"),
        (torch.rand(2), r"a tensor of shape \[2\]"),
        (torch.rand(2, 3, 4, 5, 6), r"a tensor of shape \[2, 3, 4, 5, 6\]"),
        (torch.rand(2, 5, 50, 7), r"a tensor of shape \[2, 5, 50, 7\]"),
        (torch.ones(2, 3, 14, 14, dtype=torch.int64), r"a tensor of int64 of shape \[2, 3, 14, 14\]"),
        ((torch.rand(2, 3), torch.rand(2, 3)), "2 outputs"),
        ({"x": 1}, "a dict"),
    ],
)
def test_what_is_no_map_is_named_with_its_layer_and_shape(output, described):
    with pytest.raises(LayerError, match=f"layer 'blocks.0.attn' gives {described}"):
        MapReader(224, 224, prefix_tokens=1)("blocks.0.attn", output)


def test_plain_maps_refuse_tokens():
    with pytest.raises(LayerError, match="layer 'x' gives"):
        plain_maps("x", torch.rand(2, 3, 4))
