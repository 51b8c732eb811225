"""StyleGAN2 from the `.pt` files of the common PyTorch port (rosinality's), official and trained ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import log2
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.zoo import weights
from workers.zoo.stylegan2 import Generator, built
from workers.zoo.stylegan2_weights import Place, Tensors, layout, load
from workers.zoo.stylegan_built import Built

_RATE = 0.01  # of the mapping; the files do not say, and the port has no other
# The port's own estimate of the mean w, of files that lack it.
_MEAN_SAMPLES = 4096


def build(path: Path) -> Built:
    """The generator of a checkpoint `{"g_ema": state, "latent_avg": w}`; without a mean w, it is estimated.

    Its noise images are NaN where the file has none.

    Raises:
        InvalidRequest: when it is no such file; names the first keys that do not fit.
    """
    content = weights.read(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("g_ema"), Mapping):
        raise InvalidRequest(
            f"'{path.name}' has no 'g_ema': a StyleGAN is NVIDIA's .pkl, or a .pt of the PyTorch port with its "
            "averaged generator",
            file=path.name,
        )
    state = {str(key): value for key, value in content["g_ema"].items() if isinstance(value, Tensor)}
    if isinstance(mean := content.get("latent_avg"), Tensor):
        state["latent_avg"] = mean.detach().reshape(-1)
    resolutions = [4] + [2 ** (3 + index) for index in range(_count(state))]
    if not any(key.startswith("noises.") for key in state):
        state |= _unknown_noise(state, resolutions)
    tensors = Tensors(state, _place, path.name, "the StyleGAN2 of the PyTorch port")
    sizes = layout(tensors, resolutions)
    module = Generator(sizes)
    load(module, tensors, _RATE, own_scale=True)
    if module.mapping.w_avg is None:
        module.mapping.w_avg = _mean_w(module, sizes.latents)
    return built(module, sizes)


def _count(state: Mapping[str, Any]) -> int:
    """How many resolutions follow the first."""
    return len({match[1] for key in state if (match := re.match(r"to_rgbs\.(\d+)\.", key))})


def _unknown_noise(state: Mapping[str, Tensor], resolutions: list[int]) -> dict[str, Tensor]:
    if "conv1.noise.weight" not in state:
        return {}
    sides = [resolutions[0], *(side for side in resolutions[1:] for _ in range(2))]
    return {f"noises.noise_{index}": torch.full((1, 1, side, side), torch.nan) for index, side in enumerate(sides)}


@torch.no_grad()
def _mean_w(module: Generator, latents: int) -> Tensor:
    z = torch.randn(_MEAN_SAMPLES, latents, generator=torch.Generator().manual_seed(0))
    return module.mapping(z, None).mean(0)


def _place(name: str) -> Place:
    """Where the port keeps a tensor: modulated kernels with a leading 1, filters times 4."""
    if name == "mapping.w_avg":
        return "latent_avg", _same
    if match := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
        return f"style.{int(match[1]) + 1}.{match[2]}", _same
    match = re.fullmatch(r"synthesis\.b(\d+)\.(?:(conv0|conv1|torgb)\.([a-z_.]+)|const|resample_filter)", name)
    if match is None:  # the port has neither classes nor residual blocks
        return name, _same
    level, layer, kind = int(log2(int(match[1]))) - 2, match[2], match[3]
    colours = f"to_rgbs.{level - 1}" if level else "to_rgb1"
    if layer is None:
        return ("input.input", _first) if name.endswith("const") else (f"{colours}.upsample.kernel", _quarter)
    if kind == "noise_const":
        return f"noises.noise_{2 * level - 1 + int(layer[-1])}", lambda value: value[0, 0]
    convolution = f"convs.{2 * (level - 1) + int(layer[-1])}" if level and layer != "torgb" else "conv1"
    kinds: dict[str, Place] = {
        "weight": ("conv.weight", _first),
        "affine.weight": ("conv.modulation.weight", _same),
        "affine.bias": ("conv.modulation.bias", _same),
        "resample_filter": ("conv.blur.kernel", _quarter),
        "noise_strength": ("noise.weight", _first),
        "bias": ("bias", Tensor.flatten) if layer == "torgb" else ("activate.bias", _same),
    }
    key, change = kinds.get(kind, (kind, _same))
    return f"{colours if layer == 'torgb' else convolution}.{key}", change


def _same(value: Tensor) -> Tensor:
    return value


def _first(value: Tensor) -> Tensor:
    return value[0]


def _quarter(value: Tensor) -> Tensor:
    return value / 4
