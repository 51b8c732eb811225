"""The source `stylegan:`: StyleGAN2, StyleGAN3 and StyleGAN-XL from their published files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.zoo import options, records, stylegan2_nvidia, stylegan2_port, weights
from workers.zoo.base import Latents, Network
from workers.zoo.locations import Locations
from workers.zoo.records import Record
from workers.zoo.stylegan2_layers import StyledConvolution
from workers.zoo.stylegan_built import Built

# How the two formats of torch.save begin; NVIDIA's files are plain pickles.
_SAVED_BY_TORCH = (b"PK\x03\x04", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")


def load(reference: str, locations: Locations) -> Network:
    """The generator in a file, such as `network.pkl?noise=none`.

    `noise` is `constant` (the file's noise images, the default), `none`, or a seed: then each layer has one noise
    image drawn from it, the same for all images and in every pass.

    Raises:
        InvalidRequest: when the file is missing, hostile, broken or another network, or an option is wrong.
    """
    name, given = options.split(reference, "stylegan", ("noise",))
    if not name and locations.given is None:
        raise InvalidRequest("stylegan: names no file: write stylegan:FILE.pkl or stylegan:FILE.pt")
    file = locations.given or Path(name)
    built = _build(file)
    noise = _set_noise(built, given.get("noise", "constant"), file.name)
    return Network(
        module=built.module,
        layers=built.layers,
        weights_digest=weights.digest_files([file]),
        family="stylegan",
        aliases=built.aliases,
        latents=built.space,
        images=_images,
        inputs=_inputs,
        to_maps=built.to_maps,
        details={"architecture": built.architecture, "noise": noise},
    )


def _build(file: Path) -> Built:
    if not file.is_file():
        raise InvalidRequest(f"there is no weight file '{file}'", file=str(file))
    with file.open("rb") as opened:
        head = opened.read(16)
    if head.startswith(_SAVED_BY_TORCH):
        return stylegan2_port.build(file)
    record = _generator(records.read_pickle(file), file.name)
    if record.kind == stylegan2_nvidia.TENSORFLOW:
        return stylegan2_nvidia.build_tensorflow(record, file.name)
    if _has_blocks(record):
        return stylegan2_nvidia.build(record, file.name)
    from workers.zoo import stylegan3

    return stylegan3.build(record, file.name)


def _generator(content: Any, file: str) -> Record:
    """The generator with averaged weights: of a snapshot, of TensorFlow's (G, D, Gs), or alone in its file."""
    if isinstance(content, Mapping):
        content = content.get("G_ema")
    elif isinstance(content, tuple) and len(content) == 3:
        content = content[2]
    if not isinstance(content, Record):
        raise InvalidRequest(f"'{file}' holds no G_ema: it is no generator of StyleGAN", file=file)
    return content


def _has_blocks(record: Record) -> bool:
    """Whether its synthesis is in blocks b4, b8, ..., as StyleGAN2's."""
    synthesis = records.attribute(record, "_modules", dict).get("synthesis")
    return any(re.fullmatch(r"b\d+", name) for name in records.attribute(synthesis, "_modules", dict))


def _set_noise(built: Built, noise: str, file: str) -> str:
    """Gives every layer the noise image that is asked for; what the generator now has.

    Raises:
        InvalidRequest: when the option is none of the known, or the file has no such noise.
    """
    if noise not in {"constant", "none"} and not re.fullmatch(r"\d{1,18}", noise):
        raise InvalidRequest(f"'{noise}' is no noise: write noise=constant, noise=none, or noise=SEED, a number")
    layers = [layer for layer in built.module.modules() if isinstance(layer, StyledConvolution) and layer.noisy]
    if not layers:
        if noise.isdecimal():
            raise InvalidRequest(f"the generator in '{file}' takes no noise: leave noise={noise} out", file=file)
        return "none"
    if noise == "constant" and any(layer.noise_const.isnan().any() for layer in layers):
        raise InvalidRequest(f"'{file}' has no noise images of its own: add ?noise=none or ?noise=SEED", file=file)
    generator = torch.Generator().manual_seed(int(noise)) if noise.isdecimal() else None
    for layer in layers:
        if noise == "none":
            layer.noise_const.zero_()
        elif generator:
            layer.noise_const.copy_(torch.randn(layer.noise_const.shape, generator=generator))
    return noise


def _images(output: Tensor) -> Tensor:
    images = (output.float() + 1).div(2).clamp(0, 1)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images  # gray ones


def _inputs(latents: Latents) -> tuple[Any, ...]:
    return latents.values, latents.classes, latents.truncation, latents.space
