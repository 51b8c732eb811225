import torch

from tests.mining import correlations, mine
from workers.mining.sketches import noise_maps

PINNED = [1.0, -1.0, -1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0]


def test_the_projection_is_pinned_and_counter_based():
    maps = noise_maps("digest", torch.tensor([3, 0]))
    assert maps.shape == (2, 512, 14, 14)
    assert set(maps.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(maps[0], noise_maps("digest", torch.tensor([3]))[0])
    assert not torch.equal(maps[0], noise_maps("other", torch.tensor([3]))[0])
    # These bits are stored with every sketch: they may never change.
    assert maps[0, 0, 0].tolist() == PINNED


def test_cosine_of_sketches_approximates_r():
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(40, 8, 14, 14, generator=generator)
    mix = torch.randn(20, 8, generator=generator)
    a = {"layer": torch.einsum("nchw,uc->nuhw", shared, mix) + 5}
    b = {"layer": torch.einsum("nchw,uc->nuhw", shared, torch.randn(15, 8, generator=generator))}
    miner = mine({"a": a, "b": b}, keep=20, batch=7)
    r = correlations(miner, 0, 1)
    cosine = miner.profile(0).sketches.float() @ miner.profile(1).sketches.float().T
    assert (cosine - r).abs().mean() < 1 / 512**0.5
    assert (cosine - r).abs().max() < 5 / 512**0.5
