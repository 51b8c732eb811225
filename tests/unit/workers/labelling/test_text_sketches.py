"""Texts as virtual units: their sketches are those that mining gives a unit of the same responses."""

import pytest
import torch

from tests.mining import mine
from workers.labelling.text_sketches import TextProjection, text_sketch

IMAGES, D, DIGEST = 40, 24, "digest of the set"


@pytest.fixture
def embeddings():
    return torch.randn(IMAGES, D, generator=torch.Generator().manual_seed(0)) + 3  # far from the mean


def projection(embeddings, splits):
    state = TextProjection(DIGEST)
    for positions in torch.randperm(IMAGES, generator=torch.Generator().manual_seed(1)).split(splits):
        state.update(embeddings[positions], positions)
    return state.result()


def cosines(embeddings, text):
    return torch.cosine_similarity(embeddings.double(), text.double()[None], dim=1)


def test_a_texts_sketch_is_that_of_a_unit_of_its_cosines(embeddings):
    texts = torch.randn(3, D, generator=torch.Generator().manual_seed(2)) + 1
    responses = torch.stack([cosines(embeddings, text) for text in texts], 1).float()
    units = responses[:, :, None, None]
    other = torch.randn(IMAGES, 2, 14, 14, generator=torch.Generator().manual_seed(5))
    miner = mine({"texts": {"cosines": units}, "other": {"layer": other}}, probe_digest=DIGEST)
    mined = miner.profile(0).sketches
    whole = projection(embeddings, IMAGES)
    for text, expected in zip(texts, mined, strict=True):
        assert torch.allclose(text_sketch(whole, text).float(), expected.float(), atol=2e-3)


def test_any_split_gives_the_same(embeddings):
    whole = projection(embeddings, IMAGES)
    for splits in (1, 7):
        assert torch.allclose(projection(embeddings, splits), whole, rtol=1e-5, atol=1e-4)
    halves = [TextProjection(DIGEST), TextProjection(DIGEST), TextProjection(DIGEST)]
    for state, positions in zip(halves, torch.arange(IMAGES).split(IMAGES // 2), strict=False):
        state.update(embeddings[positions], positions)
    merged = halves[0].merge(halves[1]).merge(halves[2])  # the last one saw nothing
    assert torch.allclose(merged.result(), whole, rtol=1e-5, atol=1e-4)


def test_the_cosine_of_two_sketches_approximates_r(embeddings):
    first, second = torch.randn(2, D, generator=torch.Generator().manual_seed(3))
    second = first + 0.8 * second
    whole = projection(embeddings, 8)
    estimated = torch.cosine_similarity(text_sketch(whole, first).float(), text_sketch(whole, second).float(), dim=0)
    exact = torch.corrcoef(torch.stack([cosines(embeddings, first), cosines(embeddings, second)]))[0, 1]
    assert float(estimated) == pytest.approx(float(exact), abs=0.12)  # three deviations of 1 / sqrt(512)
    assert float(exact) > 0.3


def test_where_all_images_are_the_same_there_is_no_sketch():
    state = TextProjection(DIGEST)
    state.update(torch.zeros(4, D), torch.arange(4))
    assert text_sketch(state.result(), torch.ones(D)).isnan().all()
    with pytest.raises(ValueError, match="needs images"):
        TextProjection(DIGEST).result()
