"""Forward passes over a probe set: each network runs once an image, and hands its layers' maps over.

A recording is run over the images' positions; where all are recordings, no image is made.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from workers.memory import is_out_of_memory
from workers.mining.activations import Recorder
from workers.probes import GeneratorProbes, ImageProbes, preprocess
from workers.zoo.base import Network, Preprocessing
from workers.zoo.maps import plain_maps

log = logging.getLogger(__name__)

# Takes a model's name, a layer and its maps [B, C, H, W], which it must copy.
Consume = Callable[[str, str, Tensor], None]


class ForwardPasses:
    """The networks of a job and the images they see."""

    def __init__(
        self,
        probes: GeneratorProbes | ImageProbes | None,
        networks: Mapping[str, Network],
        layers: Mapping[str, Sequence[str]],
        device: torch.device,
    ) -> None:
        """Move the networks to the device, channels last: convolutions run faster, and maps come as products want them.

        Args:
            probes: where images come from; None: all networks are recordings, which look at none.
            networks: by model name; a generator among them must be the one the probe set was made by.
            layers: what to record of each.
            device: where to run.
        """
        self._probes, self._networks, self._layers, self._device = probes, networks, layers, device
        self._most = sys.maxsize  # images at once
        generator = [probes.network] if isinstance(probes, GeneratorProbes) else []
        for network in (*networks.values(), *generator):
            network.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(
        self,
        splits: Iterable[Tensor],
        models: Sequence[str],
        consume: Consume,
        see: Callable[[Tensor], None] | None = None,
    ) -> Iterator[Tensor]:
        """Run the models over all images, a batch at a time.

        A batch for which memory does not suffice is run again in halves, and so is every later one of its size.

        Args:
            splits: int64 [B] each, positions in the probe set.
            models: which of the networks to run.
            consume: takes every recorded layer's maps; of a batch that is run again, it takes them again.
            see: takes the images of every batch too, float32 [B, 3, H, W] in [0, 1]; then they are made or read even
                where none of the models looks at them.

        Yields:
            The positions of each batch, once all its maps were handed over.
        """
        recorders = {name: self._recorder(name, consume) for name in models}
        looked_at = see is not None or any(self._networks[name].recording is None for name in models)
        for positions, images in self._batches(splits, looked_at=looked_at):
            start = 0
            while start < len(positions):
                here = slice(start, start + self._most)
                try:
                    self._forward(positions[here], None if images is None else images[here], recorders, see)
                except (RuntimeError, MemoryError) as error:
                    if len(positions[here]) == 1 or not is_out_of_memory(error):
                        raise
                    self._most = len(positions[here]) // 2
                    log.warning("out of memory: %d images at once from here on", self._most)
                else:
                    yield positions[here]
                    start = here.stop
                    continue
                if self._device.type == "cuda":  # after the error, which holds on to the tensors of its frames
                    torch.cuda.empty_cache()

    def _batches(self, splits: Iterable[Tensor], *, looked_at: bool) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Positions, and the images there, on the CPU; None where a generator makes them, or nobody looks at them."""
        if not looked_at or not isinstance(self._probes, ImageProbes):
            yield from ((split, None) for split in splits)
            return
        for indices, images in self._probes.batches(split.tolist() for split in splits):
            yield torch.tensor(indices), images.pin_memory() if self._device.type == "cuda" else images

    def _forward(
        self,
        positions: Tensor,
        images: Tensor | None,
        recorders: Mapping[str, Recorder],
        see: Callable[[Tensor], None] | None,
    ) -> None:
        """Run every model once over a batch."""
        recorded = {name: recorder for name, recorder in recorders.items() if self._networks[name].recording}
        for recorder in recorded.values():
            with recorder:
                recorder.run(positions)
        recorders = {name: recorder for name, recorder in recorders.items() if name not in recorded}
        if not recorders and see is None:
            return
        images = self._generate(positions, recorders) if images is None else images.to(self._device, non_blocking=True)
        if see is not None:
            see(images)
        inputs: dict[Preprocessing, Tensor] = {}  # models that want the same input share it
        for name, recorder in recorders.items():
            preprocessing = self._networks[name].preprocessing
            if preprocessing is None:
                continue
            if preprocessing not in inputs:
                batch = preprocess(images, preprocessing)
                inputs[preprocessing] = batch.contiguous(memory_format=torch.channels_last)
            with recorder:
                recorder.run(inputs[preprocessing])

    def _generate(self, positions: Tensor, recorders: Mapping[str, Recorder]) -> Tensor:
        """The generator's images; it is recorded meanwhile, where it is one of the models."""
        assert isinstance(self._probes, GeneratorProbes)
        generator = self._probes.network
        assert generator.inputs is not None
        assert generator.images is not None
        inputs = generator.inputs(self._probes.latents(positions.tolist()).to(self._device))
        name = next((name for name in recorders if self._networks[name].is_generator), None)
        if name is None:
            return generator.images(generator.module(*inputs))
        with recorders[name] as recorder:
            return generator.images(recorder.run_whole(*inputs))

    def _recorder(self, name: str, consume: Consume) -> Recorder:
        network = self._networks[name]
        to_maps = network.to_maps or plain_maps
        return Recorder(
            network.module,
            self._layers[name],
            lambda layer, output: consume(name, layer, to_maps(layer, output)),
        )
