"""Which layers of a network are recorded, and what one forward pass says of their grids."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from service.queries.names import suggest
from workers.mining.activations import Recorder
from workers.mining.layout import LayerShape
from workers.zoo.base import Latents, LatentSpace, LayerError, Network, Preprocessing
from workers.zoo.maps import plain_maps


def choose(module: nn.Module, globs: Sequence[str], source: str) -> list[str]:
    """The module paths that fit any of the globs, in the module's order.

    Args:
        module: whose paths; `*` in a glob fits dots as well.
        globs: such as `blocks.?` or `layer4`.
        source: where the module came from, for the error.

    Raises:
        InvalidRequest: when a glob fits nothing, with the nearest paths.
    """
    paths = [path for path, _ in module.named_modules() if path]
    for glob in globs:
        if not any(fnmatchcase(path, glob) for path in paths):
            near = suggest(glob, paths) or [name for name, _ in module.named_children()][:8]
            raise InvalidRequest(
                f"no layer fits '{glob}'; the nearest of the {len(paths)} module paths are {', '.join(near)}; "
                f"`rosetta models layers {shlex.quote(source)}` shows the tree",
                layer=glob,
                suggestions=near,
            )
    return [path for path in paths if any(fnmatchcase(path, glob) for glob in globs)]


def trace(network: Network, layers: Sequence[str], model: str) -> list[LayerShape]:
    """The shapes of those of the layers that run, in forward order, from one gray image, latent or recorded row.

    Args:
        network: whose forward pass.
        layers: module paths.
        model: its name, for errors.

    Raises:
        InvalidRequest: when a layer gives NaN or infinity, or none runs.
        LayerError: when a layer's output cannot be read as maps.
    """
    shapes: list[LayerShape] = []

    def consume(layer: str, output: Any) -> None:
        maps = maps_of_one(network, layer, output)
        _check_finite(maps, f"model '{model}', layer '{layer}'", recorded=network.recording is not None)
        shapes.append(LayerShape(layer, *maps.shape[1:]))

    with torch.inference_mode(), Recorder(network.module, layers, consume) as recorder:
        if network.latents is None:
            recorder.run(*trial_inputs(network))
        else:
            _check_images(network, network.latents, recorder.run_whole(*trial_inputs(network)), model)
    if not shapes:
        raise InvalidRequest(
            f"the forward pass of model '{model}' runs none of the layers {', '.join(layers[:8])}: record others"
        )
    return shapes


def maps_of_one(network: Network, layer: str, output: Any) -> Tensor:
    """A layer's maps `[1, C, H, W]` in a pass over one image.

    Raises:
        LayerError: when its output cannot be read as maps, or is not of one image.
    """
    maps = (network.to_maps or plain_maps)(layer, output)
    if maps.shape[0] != 1:
        raise LayerError(f"layer '{layer}' gives {maps.shape[0]} maps for one image: record another layer", layer=layer)
    return maps


def trial_inputs(network: Network) -> tuple[Any, ...]:
    """The arguments of the network's module for a trial pass: a gray image, one latent, or the first position.

    They are always the same, on the module's device.
    """
    device = next((parameter.device for parameter in network.module.parameters()), torch.device("cpu"))
    if network.recording is not None:
        return (torch.zeros(1, dtype=torch.int64, device=device),)
    if network.latents is not None:
        return _latent(network, network.latents, device)
    assert network.preprocessing is not None  # what is neither a generator nor a recording has it (workers.zoo.base)
    return (_gray_image(network.preprocessing, device),)


def _check_finite(maps: Tensor, where: str, *, recorded: bool = False) -> None:
    if bool(maps.isfinite().all()):
        return
    if recorded:
        raise InvalidRequest(f"{where}: NaN or infinity at the first image; fill in what was not recorded")
    raise InvalidRequest(
        f"{where}: NaN or infinity in a trial pass; the weights are broken, or meant for another network"
    )


def _check_images(network: Network, space: LatentSpace, output: Any, model: str) -> None:
    assert network.images is not None  # a generator has it (workers.zoo.base)
    images = network.images(output)
    _check_finite(images, f"model '{model}', its image")
    if images.shape != (1, 3, space.height, space.width):
        raise InvalidRequest(
            f"generator '{model}' makes images of shape {list(images.shape[1:])}, and its source says "
            f"[3, {space.height}, {space.width}]"
        )


def _gray_image(taken: Preprocessing, device: torch.device) -> Tensor:
    """A gray image as the network's input, float32 [1, 3, H, W]."""
    mean, std = torch.tensor(taken.mean), torch.tensor(taken.std)
    pixel = ((0.5 - mean) / std).view(1, 3, 1, 1)
    return pixel.expand(1, 3, taken.height, taken.width).contiguous().to(device)


def _latent(network: Network, space: LatentSpace, device: torch.device) -> tuple[Any, ...]:
    """One latent as the arguments of the generator's module."""
    assert network.inputs is not None  # a generator has it (workers.zoo.base)
    z = torch.randn(1, space.dimensions, generator=torch.Generator().manual_seed(0)).to(device)
    classes = None if space.classes is None else torch.zeros(1, dtype=torch.int64, device=device)
    return network.inputs(Latents(z, classes=classes))
