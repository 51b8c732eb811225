"""CLIP-Dissect: the words that an image-text model sees in the images a unit fires on most.

Oikarinen & Weng 2023, "CLIP-Dissect: Automatic Description of Neuron Representations in Deep Vision Networks", section
3: similarity by soft pointwise mutual information. The constants are their code's.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from workers.mining.exemplars import TopImages

TEMPERATURE = 10.0  # of the softmax over words of cosines
SUREST, LEAST_SURE = 0.998, 0.97  # that the first, and that the last of a unit's images belongs to it
SETS = 10_000  # of random images, for the null
_BLOCK = 2**22  # scores at once


def word_probabilities(images: Tensor, words: Tensor) -> Tensor:
    """p(word | image): the softmax over words of the cosines, float32 [N, T].

    Args:
        images: float32 [N, D], embeddings.
        words: float32 [T, D].
    """
    return (TEMPERATURE * F.normalize(images, dim=1) @ F.normalize(words, dim=1).T).softmax(1)


class Dissection:
    """How much each word is the matter of the images that a unit fires on most.

    With B a unit's K top images, rank r of them belonging to it with probability w_r:
    log p(t | B) = sum_r log(1 + w_r (p(t | x_r) - 1)), and the score is log p(t | B) - log p(t). Here log p(t) is the
    mean of log p(t | B) over sets of random images, which is exact and the same whatever other units there are (the
    paper's is over the units at hand): a word that any image suggests scores 0.
    """

    def __init__(self, probabilities: Tensor, top: int) -> None:
        """Takes log p(t).

        Args:
            probabilities: float32 [N, T], of `word_probabilities`.
            top: K, at most N.
        """
        self._probabilities = probabilities
        ranks = torch.arange(top, dtype=torch.float64) / top
        self._weights = (SUREST - ranks * (SUREST - LEAST_SURE)).tolist()
        self._prior = torch.stack([self._log(probabilities, weight).double().mean(0) for weight in self._weights])
        self._prior = self._prior.sum(0).float()

    @staticmethod
    def _log(probabilities: Tensor, weight: float) -> Tensor:
        return torch.log(weight * probabilities + (1 - weight))

    def scores(self, images: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """The scores of units, some of them at a time.

        Args:
            images: int64 [U, K], the units' top images, those they fire on most first.

        Yields:
            Which units, and float32 [u, T].
        """
        step = max(1, _BLOCK // self._probabilities.shape[1])
        for start in range(0, len(images), step):
            here = slice(start, start + step)
            found = torch.zeros(len(images[here]), len(self._prior), device=self._prior.device)
            for rank, weight in enumerate(self._weights):
                found += self._log(self._probabilities[images[here, rank]], weight)
            yield here, found - self._prior

    def chance(self, seed: int, sets: int = SETS) -> Tensor:
        """The best word's score of units that fire on random images, float32 [M]: the null of any unit's best score.

        A score depends on the order of a unit's top images alone, so that to permute the images is to draw K of them.
        The mean of several units' rows under one permutation varies no more than one row: for concepts this null is
        on the safe side.
        """
        images, top = len(self._probabilities), len(self._weights)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.stack([torch.randperm(images, generator=generator)[:top] for _ in range(sets)])
        found = self.scores(drawn.to(self._probabilities.device))
        return torch.cat([scores.amax(1) for _, scores in found]).cpu()


class TopUnits:
    """For every unit of a model the images with the largest mean of its map, as they stream by."""

    def __init__(self, top: int, device: torch.device) -> None:
        self._top, self._device = top, device
        self._layers: dict[str, TopImages] = {}

    def update(self, layer: str, means: Tensor, positions: Tensor) -> None:
        """Takes a batch of a layer in.

        Args:
            layer: its name.
            means: float32 [B, C], finite.
            positions: int64 [B].
        """
        if layer not in self._layers:
            self._layers[layer] = TopImages(means.shape[1], self._top, self._device)
        self._layers[layer].update(means, positions)

    def result(self, layers: list[str]) -> Tensor:
        """int64 [U, K], the units in the order of these layers."""
        return torch.cat([self._layers[layer].result().images for layer in layers])
