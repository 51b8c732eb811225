"""The source `biggan:`: the BigGAN-deep generators of ImageNet, such as `biggan:biggan-deep-256`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo import maps, options, weights
from workers.zoo.base import Latents, LatentSpace, Network
from workers.zoo.biggan_modules import Architecture, BigGAN
from workers.zoo.locations import Locations

# Brock et al. 2019, tables 7 to 9: blocks that keep the resolution and blocks that double it take turns.
_PUBLISHED = {
    f"biggan-deep-{side}": Architecture(
        tuple((index % 2 == 1, *channels) for index, channels in enumerate(pairwise(widths)))
    )
    for side, widths in {
        128: (16, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1),
        256: (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1),
        512: (16, 16, 16, 16, 8, 8, 8, 8, 4, 4, 2, 2, 1, 1, 1),
    }.items()
}
_URL = "https://s3.amazonaws.com/models.huggingface.co/biggan/"
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def load(reference: str, locations: Locations) -> Network:
    """The generator of that name: a published one, or one whose folder has its `config.json` beside the weights.

    Its latents go to the generator with their truncation, 1 when they have none: it chooses the statistics that
    batch normalisations use.

    Raises:
        InvalidRequest: when there is no such generator, no weights are at hand, or they do not fit.
    """
    name, _ = options.split(reference, "biggan", ())
    published = f"{name}-pytorch_model.bin"
    names = (published, f"{name}/model.safetensors", f"{name}/pytorch_model.bin")
    if name not in _PUBLISHED and not (locations.given or (_NAME.fullmatch(name) and locations.in_folders(names))):
        raise InvalidRequest(
            f"there is no published BigGAN '{name}': write biggan: with one of {', '.join(_PUBLISHED)}, "
            "or name a folder inside a weights folder that has pytorch_model.bin and config.json",
            model=name,
        )
    file = locations.file(names, of=name, url=_URL + published if name in _PUBLISHED else None)
    sizes = _architecture(name, file)
    module = _build(sizes, file, name)
    return Network(
        module=module,
        layers=default_layers(module),
        weights_digest=weights.digest_files([file]),
        family="biggan",
        aliases=tuple(dict.fromkeys((name.lower(), name.lower().replace("-", " "), "biggan"))),
        latents=LatentSpace(sizes.z_dim, sizes.side, sizes.side, classes=sizes.num_classes),
        images=_images,
        inputs=_inputs,
        to_maps=maps.plain_maps,
        details={"architecture": f"BigGAN-deep, {sizes.side} pixels", "classes": sizes.num_classes},
    )


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """Convolution outputs after activation: every ReLU that a convolution comes before.

    In a block they follow the normalisations of the first three convolutions; the fourth meets its activation, after
    the residual sum, at the beginning of the next block or at the generator's end.
    """
    found: list[str] = []
    convolved = False
    for path, layer in module.named_modules():
        convolved = convolved or isinstance(layer, nn.Conv2d)
        if convolved and isinstance(layer, nn.ReLU):
            found.append(path)
    return tuple(found)


def _architecture(name: str, file: Path) -> Architecture:
    """The sizes in the configuration beside the weights, else the published ones of that name."""
    for candidate in (f"{name}-config.json", "config.json"):
        path = file.parent / candidate
        if path.is_file() and (content := _read_config(path)) is not None:
            return content
    if name not in _PUBLISHED:
        raise InvalidRequest(
            f"there is no published BigGAN '{name}' and no config.json of one beside '{file.name}': "
            f"put it there, or write biggan: with one of {', '.join(_PUBLISHED)}",
            model=name,
        )
    return _PUBLISHED[name]


def _read_config(path: Path) -> Architecture | None:
    """The sizes in a configuration; None when it is one of something else.

    Raises:
        InvalidRequest: when it is broken, or its sizes do not fit together.
    """
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, Mapping) or "attention_layer_position" not in content:
            return None
        return Architecture(**{field.name: _checked(field.name, content) for field in fields(Architecture)})
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(
            f"'{path.name}' beside the weights is no configuration of BigGAN-deep ({error}): "
            "put the published one in its place, or remove it",
            file=path.name,
        ) from error


def _checked(name: str, content: Mapping[str, Any]) -> Any:
    """A size of a configuration, of its own type; the default where it is not given."""
    published = getattr(_PUBLISHED["biggan-deep-128"], name)
    value = content.get(name, published)
    if name == "layers":
        return tuple((bool(doubles), _count(taken), _count(made)) for doubles, taken, made in value)
    if isinstance(published, float):
        return float(value)
    return _count(value, least=0 if name == "attention_layer_position" else 1)


def _count(value: Any, least: int = 1) -> int:
    if not isinstance(value, int) or not least <= value < 2**16:
        raise ValueError(f"{value!r} is no size")
    return value


def _build(sizes: Architecture, file: Path, name: str) -> BigGAN:
    """The generator with the file's weights."""
    with torch.device("meta"):  # takes no memory, whatever sizes a configuration asks for
        module = BigGAN(sizes)
    state = weights.strip_prefix(weights.read_state(file), module.state_dict())
    if reason := weights.misfit(module.state_dict(), state):
        raise weights.mismatch(file.name, name, reason)
    module.to_empty(device="cpu").load_state_dict(state)
    module.fold()
    return module


def _inputs(latents: Latents) -> tuple[Any, ...]:
    return latents.values, latents.classes, 1.0 if latents.truncation is None else latents.truncation


def _images(output: Tensor) -> Tensor:
    return (output.float() + 1).div(2).clamp(0, 1)
