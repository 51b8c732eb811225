"""CLIP-Dissect against its formula in float64, and on units that are planted."""

import math

import pytest
import torch

from workers.labelling import dissection
from workers.labelling.dissection import Dissection, TopUnits, word_probabilities
from workers.mining.significance import q_values

IMAGES, WORDS, TOP = 60, 12, 6


@pytest.fixture
def probabilities():
    generator = torch.Generator().manual_seed(0)
    images, words = torch.randn(IMAGES, 16, generator=generator), torch.randn(WORDS, 16, generator=generator)
    return word_probabilities(images, words)


def log_share(probabilities, images):
    """log p(t | B), by the formula, one number at a time."""
    found = [0.0] * probabilities.shape[1]
    for rank, image in enumerate(images):
        weight = 0.998 - rank / len(images) * (0.998 - 0.97)
        for word in range(len(found)):
            found[word] += math.log(1 + weight * (float(probabilities[image, word]) - 1))
    return torch.tensor(found, dtype=torch.float64)


def test_word_probabilities_are_a_softmax_of_cosines():
    generator = torch.Generator().manual_seed(1)
    images, words = torch.randn(5, 8, generator=generator), torch.randn(3, 8, generator=generator)
    found = word_probabilities(images, words)
    for i in range(5):
        powers = [math.exp(10 * float(torch.cosine_similarity(images[i], words[t], dim=0))) for t in range(3)]
        assert found[i].tolist() == pytest.approx([power / sum(powers) for power in powers], rel=1e-5)


@pytest.mark.parametrize("block", [1, 7 * WORDS, 2**22])
def test_scores_are_the_formulas(probabilities, block, monkeypatch):
    monkeypatch.setattr(dissection, "_BLOCK", block)
    generator = torch.Generator().manual_seed(2)
    tops = torch.stack([torch.randperm(IMAGES, generator=generator)[:TOP] for _ in range(20)])
    prior = torch.zeros(WORDS, dtype=torch.float64)
    for rank in range(TOP):  # the mean over random sets: each rank's image may be any, equally
        weight = 0.998 - rank / TOP * (0.998 - 0.97)
        prior += torch.log(1 + weight * (probabilities.double() - 1)).mean(0)
    found = torch.cat([scores for _, scores in Dissection(probabilities, TOP).scores(tops)])
    for unit, images in enumerate(tops.tolist()):
        assert torch.allclose(found[unit].double(), log_share(probabilities, images) - prior, atol=1e-4)


def test_the_null_is_of_random_images(probabilities):
    of_words = Dissection(probabilities, TOP)
    null = of_words.chance(seed=3, sets=4000)
    assert torch.equal(null, of_words.chance(seed=3, sets=4000))
    generator = torch.Generator().manual_seed(9)
    random = torch.stack([torch.randperm(IMAGES, generator=generator)[:TOP] for _ in range(4000)])
    scores = torch.cat([scores for _, scores in of_words.scores(random)])
    assert abs(float(scores.mean())) < 0.05  # a word that any image suggests scores 0
    assert null.quantile(0.9) == pytest.approx(float(scores.amax(1).quantile(0.9)), abs=0.15)


def test_planted_units_get_their_words_and_noise_gets_none():
    generator = torch.Generator().manual_seed(4)
    images, words = torch.randn(400, 32, generator=generator), torch.randn(50, 32, generator=generator)
    cosines = torch.nn.functional.normalize(images) @ torch.nn.functional.normalize(words).T
    planted = cosines[:, :40] + 0.02 * torch.randn(400, 40, generator=generator)  # unit u fires on word u
    responses = torch.cat([planted, torch.randn(400, 1000, generator=generator)], 1)
    top = TopUnits(20, torch.device("cpu"))
    for positions in torch.randperm(400, generator=generator).split(64):
        top.update("layer", responses[positions], positions)
    of_words = Dissection(word_probabilities(images, words), 20)
    scores = torch.cat([scores for _, scores in of_words.scores(top.result(["layer"]))])
    best = scores.max(1)
    q = q_values(best.values, best.values, of_words.chance(seed=0))
    assert best.indices[:40].tolist() == list(range(40))
    assert (q[:40] < 0.05).all()
    assert (q[40:] < 0.05).sum() <= 3  # of the words at q < 0.05, one in twenty may be chance


def test_top_units_are_in_the_order_of_the_layers():
    top = TopUnits(2, torch.device("cpu"))
    responses = {"second": torch.tensor([[0.0], [5.0], [1.0]]), "first": torch.tensor([[3.0, 0], [2, 1], [1, 2]])}
    for positions in (torch.tensor([2, 0]), torch.tensor([1])):
        for layer, values in responses.items():
            top.update(layer, values[positions], positions)
    assert top.result(["first", "second"]).tolist() == [[0, 1], [2, 1], [1, 2]]
