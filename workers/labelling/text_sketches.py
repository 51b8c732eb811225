"""A text as a virtual unit: its response to an image is the cosine of both, and it has a sketch like any unit.

A scalar response is a 1x1 map (METHOD.md), constant at 14x14. Its covariance with the sketches' random maps is linear
in the text's embedding, so that one matrix of a probe set and an image-text model gives the sketch of every text.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from workers.mining.sketches import DIMENSIONS, noise_maps, normalise

_IMAGES = 64  # whose random maps are held at once


class TextProjection:
    """The covariance of images' embeddings with the random maps' sums, as the images stream by.

    `result()` is sum_i (n_i - mean n) (e_i - mean e)', n_i the 512 random maps of image i, each summed over its
    positions (workers.mining.sketches), e_i the image's embedding of length 1.
    """

    def __init__(self, probe_digest: str) -> None:
        self._digest = probe_digest
        self._images = 0
        self._noise = torch.zeros(DIMENSIONS, dtype=torch.float64)
        self._embeddings: Tensor | None = None
        self._products: Tensor | None = None

    def update(self, embeddings: Tensor, positions: Tensor) -> None:
        """Takes a batch in.

        Args:
            embeddings: float [B, D], of any length.
            positions: int64 [B], the images' places in the probe set.
        """
        for some, where in zip(embeddings.split(_IMAGES), positions.split(_IMAGES), strict=True):
            noise = noise_maps(self._digest, where.cpu()).sum((2, 3)).double()
            unit = F.normalize(some.cpu().double(), dim=1)
            self._add(len(where), noise.sum(0), unit.sum(0), noise.T @ unit)

    def merge(self, other: TextProjection) -> Self:
        """Takes in what `other` saw of other images."""
        if other._embeddings is not None and other._products is not None:
            self._add(other._images, other._noise, other._embeddings, other._products)
        return self

    def _add(self, images: int, noise: Tensor, embeddings: Tensor, products: Tensor) -> None:
        if self._embeddings is None or self._products is None:
            self._embeddings, self._products = torch.zeros_like(embeddings), torch.zeros_like(products)
        self._images += images
        self._noise += noise
        self._embeddings += embeddings
        self._products += products

    def result(self) -> Tensor:
        """float32 [512, D].

        Raises:
            ValueError: when it has seen no image.
        """
        if self._embeddings is None or self._products is None:
            raise ValueError("a projection needs images")
        return (self._products - torch.outer(self._noise, self._embeddings) / self._images).float()


def text_sketch(projection: Tensor, text: Tensor) -> Tensor:
    """The sketch of a text, float16 [512]; NaN where all images are the same to it.

    Args:
        projection: float32 [512, D], of `TextProjection`.
        text: float [D], its embedding, of any length.
    """
    covariances = projection.double() @ F.normalize(text.double(), dim=0)
    return normalise(covariances[None], torch.zeros(1, dtype=torch.bool))[0]
