"""Forward passes over a probe set: each network runs once an image, and hands its layers' maps over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from workers.mining.activations import Recorder
from workers.probes import GeneratorProbes, ImageProbes, preprocess
from workers.zoo.base import Network, Preprocessing
from workers.zoo.maps import plain_maps

# Takes a model's name, a layer and its maps [B, C, H, W], which it must copy.
Consume = Callable[[str, str, Tensor], None]


class ForwardPasses:
    """The networks of a job and the images they see."""

    def __init__(
        self,
        probes: GeneratorProbes | ImageProbes,
        networks: Mapping[str, Network],
        layers: Mapping[str, Sequence[str]],
        device: torch.device,
    ) -> None:
        """Move the networks to the device, channels last: convolutions run faster, and maps come as products want them.

        Args:
            probes: where images come from.
            networks: by model name; a generator among them must be the one the probe set was made by.
            layers: what to record of each.
            device: where to run.
        """
        self._probes, self._networks, self._layers, self._device = probes, networks, layers, device
        generator = [probes.network] if isinstance(probes, GeneratorProbes) else []
        for network in (*networks.values(), *generator):
            network.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, splits: Iterable[Tensor], models: Sequence[str], consume: Consume) -> Iterator[Tensor]:
        """Run the models over all images, a batch at a time.

        Args:
            splits: int64 [B] each, positions in the probe set.
            models: which of the networks to run.
            consume: takes every recorded layer's maps.

        Yields:
            The positions of each batch, once all its maps were handed over.
        """
        recorders = {name: self._recorder(name, consume) for name in models}
        for positions, images in self._images(splits, recorders):
            inputs: dict[Preprocessing, Tensor] = {}  # models that want the same input share it
            for name in models:
                preprocessing = self._networks[name].preprocessing
                if preprocessing is None:
                    continue
                if preprocessing not in inputs:
                    batch = preprocess(images, preprocessing)
                    inputs[preprocessing] = batch.contiguous(memory_format=torch.channels_last)
                with recorders[name] as recorder:
                    recorder.run(inputs[preprocessing])
            yield positions

    def _images(self, splits: Iterable[Tensor], recorders: Mapping[str, Recorder]) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self._probes, ImageProbes):
            for indices, images in self._probes.batches(split.tolist() for split in splits):
                yield torch.tensor(indices), images.to(self._device, non_blocking=True)
            return
        generator = self._probes.network
        name = next((name for name in recorders if self._networks[name].is_generator), None)
        for split in splits:
            assert generator.inputs is not None
            assert generator.images is not None
            inputs = generator.inputs(self._probes.latents(split.tolist()).to(self._device))
            if name is None:
                output = generator.module(*inputs)
            else:
                with recorders[name] as recorder:
                    output = recorder.run_whole(*inputs)
            yield split, generator.images(output)

    def _recorder(self, name: str, consume: Consume) -> Recorder:
        network = self._networks[name]
        to_maps = network.to_maps or plain_maps
        return Recorder(
            network.module,
            self._layers[name],
            lambda layer, output: consume(name, layer, to_maps(layer, output)),
        )
