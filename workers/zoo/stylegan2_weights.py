"""A file's tensors under this project's names: the sizes they tell, and the weights as they act."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

from torch import Size, Tensor

from workers.zoo import weights
from workers.zoo.stylegan2 import Generator, Layout
from workers.zoo.stylegan2_layers import check_activation

# The key in the file of one of our tensors, and how the file's tensor becomes ours.
Place = tuple[str, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Tensors:
    """The tensors of a file.

    Attributes:
        state: by the file's keys.
        place: where one of ours lies in it.
        file: its name, for errors.
        architecture: what it should hold, for errors.
    """

    state: Mapping[str, Tensor]
    place: Callable[[str], Place]
    file: str
    architecture: str

    def __contains__(self, name: str) -> bool:
        return self.place(name)[0] in self.state

    def __getitem__(self, name: str) -> Tensor:
        """Ours of that name; of odd dimensions, as it is.

        Raises:
            InvalidRequest: when the file has none.
        """
        key, change = self.place(name)
        if key not in self.state:
            reason = weights.misfit({key: next(iter(self.state.values()), Tensor())}, self.state)
            raise weights.mismatch(self.file, self.architecture, reason or f"missing {key}")
        try:
            return change(self.state[key])
        except (RuntimeError, IndexError):
            return self.state[key]

    def size(self, name: str, dimensions: int) -> Size:
        """The shape of ours of that name.

        Raises:
            InvalidRequest: when the file has none, or one of other dimensions.
        """
        size = self[name].shape
        if len(size) != dimensions or 0 in size:
            reason = f"{self.place(name)[0]} is {list(size)}, expected {dimensions} dimensions"
            raise weights.mismatch(self.file, self.architecture, reason)
        return size


def layout(tensors: Tensors, resolutions: Sequence[int], **known: Any) -> Layout:
    """The sizes of the generator whose tensors these are.

    Args:
        tensors: of the file.
        resolutions: that it has, ascending.
        known: what tensors do not tell: `activation`, `mapping_activation`, `clamp`.

    Raises:
        InvalidRequest: when a tensor is missing that tells a size, a resolution does not double the one before, or
            a non-linearity is unknown.
    """
    for option in ("activation", "mapping_activation"):
        check_activation(known.get(option, "lrelu"))
    if any(after != 2 * before for before, after in pairwise(resolutions)):
        reason = f"its resolutions are {', '.join(map(str, resolutions))}, expected each to double"
        raise weights.mismatch(tensors.file, tensors.architecture, reason)
    depths = []
    for index in count():
        if f"mapping.fc{index}.weight" not in tensors:
            break
        depths.append(tensors.size(f"mapping.fc{index}.weight", 2))
    embedding, classes = tensors.size("mapping.embed.weight", 2) if "mapping.embed.weight" in tensors else (0, 0)
    first, last = f"synthesis.b{resolutions[0]}", f"synthesis.b{resolutions[-1]}"
    colours, _, colours_size, _ = tensors.size(f"{last}.torgb.weight", 4)
    return Layout(
        latents=(depths[0] if depths else tensors.size("mapping.fc0.weight", 2))[1] - embedding,
        styles=tensors.size(f"{first}.conv1.affine.weight", 2)[1],
        classes=classes,
        embedding=embedding,
        mapping=tuple(outputs for outputs, _ in depths),
        channels={side: tensors.size(f"synthesis.b{side}.conv1.weight", 4)[0] for side in resolutions},
        colours=colours,
        architecture=(
            "resnet" if f"{last}.skip.weight" in tensors else "skip" if f"{first}.torgb.weight" in tensors else "orig"
        ),
        noise=f"{first}.conv1.noise_strength" in tensors,
        size=tensors.size(f"{first}.conv1.weight", 4)[2],
        colours_size=colours_size,
        filter_shape=_filter_shape(tensors, last) if len(resolutions) > 1 else (1, 1),
        truncates="mapping.w_avg" in tensors,
        **known,
    )


def _filter_shape(tensors: Tensors, block: str) -> tuple[int, ...]:
    found = tensors[f"{block}.conv0.resample_filter"]
    return tuple(tensors.size(f"{block}.conv0.resample_filter", min(found.ndim, 2) or 1))


def load(module: Generator, tensors: Tensors, rate: float, own_scale: bool = False) -> None:
    """Loads the file's tensors, all of them.

    Args:
        module: of the file's layout.
        tensors: of the file.
        rate: the mapping's learning rate as a multiple of the other layers'.
        own_scale: whether modulated convolutions are scaled as plain ones (it matters beside the 1e-8 of the norm).

    Raises:
        InvalidRequest: naming the first keys that do not fit.
    """
    wanted = module.state_dict()
    keys = {tensors.place(name)[0]: name for name in wanted}
    found = {key: tensors[keys[key]] if key in keys else tensor for key, tensor in tensors.state.items()}
    if reason := weights.misfit({key: wanted[name] for key, name in keys.items()}, found):
        raise weights.mismatch(tensors.file, tensors.architecture, reason)
    acting = {name: found[key].float() * _gain(name, wanted, rate, own_scale) for key, name in keys.items()}
    module.load_state_dict(acting)


def _gain(name: str, wanted: Mapping[str, Tensor], rate: float, own_scale: bool) -> float:
    """What a stored weight is multiplied by, of the equalized learning rate (Karras et al. 2018, section 4.1)."""
    layer, _, kind = name.rpartition(".")
    if kind not in {"weight", "bias"}:
        return 1
    fan_in = math.prod(wanted[f"{layer}.weight"].shape[1:])
    if re.fullmatch(r"mapping\.fc\d+", layer):
        return rate / math.sqrt(fan_in) if kind == "weight" else rate
    if layer.endswith(".torgb.affine"):  # its styles stand for the scale of the convolution to colours
        convolution = math.prod(wanted[f"{layer.removesuffix('affine')}weight"].shape[1:])
        return (1 / math.sqrt(fan_in) if kind == "weight" else 1) / math.sqrt(convolution)
    scaled = layer.endswith((".affine", ".embed", ".skip")) or (own_scale and re.search(r"\.conv\d$", layer))
    return 1 / math.sqrt(fan_in) if scaled and kind == "weight" else 1
