"""Probe sets as batches: images from files, or latents for a generator.

Both are canonical: what image `i` shows depends on the set alone, never on how it is split into batches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as all the world calls it

from rosetta.errors import InvalidRequest
from service.pictures.reading import read_image
from workers.zoo.base import Latents, LatentSpace, Network, Preprocessing

DEFAULT_SIZE = 256


class GeneratorProbes:
    """Samples of a generator: image `i` is made from latents drawn by a generator seeded with (seed, i)."""

    def __init__(
        self,
        network: Network,
        seed: int,
        count: int,
        truncation: float | None = None,
        class_index: int | None = None,
    ) -> None:
        """Draws nothing yet.

        Args:
            network: a generator.
            seed: any integer.
            count: images in the set.
            truncation: in (0, 1], see `LatentSpace`; None: without.
            class_index: the class of all images; None: of a generator with classes, each image draws its own.

        Raises:
            InvalidRequest: when the network is no generator, or has no such class or truncation.
        """
        if network.latents is None:
            raise InvalidRequest("this model is no generator: it cannot make probe images")
        if count < 1:
            raise InvalidRequest(f"a probe set needs images: --count is {count}")
        if truncation is not None and not 0 < truncation <= 1:
            raise InvalidRequest(f"a truncation lies above 0 and up to 1: {truncation} does not")
        _check_class(network.latents, class_index)
        self.network = network
        self.seed = seed
        self.count = count
        self.truncation = truncation
        self.class_index = class_index
        self._space = network.latents

    def latents(self, indices: Sequence[int]) -> Latents:
        """The latents of some images: z float32 [B, Z], and classes int64 [B] where the generator has classes."""
        drawn = [self._draw(index) for index in indices]
        z = torch.stack([z for z, _ in drawn]) if drawn else torch.empty(0, self._space.dimensions)
        classes = [class_index for _, class_index in drawn]
        return Latents(
            z,
            classes=None if self._space.classes is None else torch.tensor(classes, dtype=torch.int64),
            truncation=self.truncation,
        )

    def _draw(self, index: int) -> tuple[Tensor, int]:
        digest = hashlib.sha256(f"{self.seed}:{index}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        if self.truncation is None or self._space.styles:
            z = torch.randn(self._space.dimensions, generator=generator)
        else:
            uniform = torch.rand(self._space.dimensions, generator=generator, dtype=torch.float64)
            z = self.truncation * _cut_normal(uniform)
        if self.class_index is not None or self._space.classes is None:
            return z, self.class_index or 0
        return z, int(torch.randint(self._space.classes, (), generator=generator))


def _check_class(space: LatentSpace, class_index: int | None) -> None:
    if class_index is None:
        return
    if space.classes is None:
        raise InvalidRequest("this generator has no classes: leave --class out", class_index=class_index)
    if not 0 <= class_index < space.classes:
        raise InvalidRequest(
            f"class {class_index} is none of this generator's: it has 0 to {space.classes - 1}",
            class_index=class_index,
        )


def _cut_normal(uniform: Tensor) -> Tensor:
    """Numbers uniform in [0, 1) as numbers of the normal distribution cut at +-2, float32."""
    edge = math.erf(2 / math.sqrt(2))
    return (math.sqrt(2) * torch.erfinv((2 * uniform - 1) * edge)).clamp(-2, 2).float()


class ImageProbes:
    """Files as probe images: each is brought upright, to RGB, and to its central square of `size` pixels."""

    def __init__(self, paths: Sequence[Path], size: int = DEFAULT_SIZE, threads: int = 4) -> None:
        """Reads nothing yet.

        Args:
            paths: one file an image, in the order of the set.
            size: S, the side of the square, pixels.
            threads: that decode while the networks run.

        Raises:
            InvalidRequest: when there are no paths or the size is none.
        """
        if not paths:
            raise InvalidRequest("a probe set needs images: there are none")
        if size < 1:
            raise InvalidRequest(f"{size} is no size of images")
        self.paths = tuple(paths)
        self.size = size
        self.count = len(self.paths)
        self._threads = threads

    def images(self, indices: Sequence[int]) -> Tensor:
        """Some of the images, float32 [B, 3, S, S] in [0, 1].

        Raises:
            InvalidRequest: when a file is broken; names it.
        """
        return _stack([read_image(self.paths[index], self.size) for index in indices], self.size)

    def batches(self, splits: Iterable[Sequence[int]]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Images in batches, each with its indices; the next one is decoded while the last one is in use.

        Args:
            splits: the indices of each batch, in any order.

        Yields:
            The indices, and float32 [B, 3, S, S] in [0, 1].

        Raises:
            InvalidRequest: when a file is broken; names it.
        """
        with ThreadPoolExecutor(self._threads, thread_name_prefix="probes") as pool:

            def start(indices: Sequence[int]) -> tuple[Sequence[int], list[Future[np.ndarray]]]:
                return indices, [pool.submit(read_image, self.paths[index], self.size) for index in indices]

            coming = (start(indices) for indices in splits)
            waiting = list(islice(coming, 1))
            try:
                while waiting:
                    waiting += islice(coming, 1)
                    indices, futures = waiting.pop(0)
                    yield indices, _stack([future.result() for future in futures], self.size)
            finally:
                for _, futures in waiting:
                    for future in futures:
                        future.cancel()


def _stack(images: list[np.ndarray], size: int) -> Tensor:
    if not images:
        return torch.empty(0, 3, size, size)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)


def preprocess(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """A network's input: the images resized with antialiasing, and normalised.

    Args:
        images: float32 [B, 3, H, W] in [0, 1].
        preprocessing: the network's.

    Returns:
        float32 [B, 3, height, width], (x - mean) / std, on the images' device.
    """
    size = (preprocessing.height, preprocessing.width)
    if tuple(images.shape[2:]) != size:
        images = F.interpolate(images, size=size, mode=preprocessing.interpolation, align_corners=False, antialias=True)
        images.clamp_(0, 1)  # bicubic overshoots
    mean, std = (images.new_tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    return (images - mean).div_(std)
