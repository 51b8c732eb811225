"""What a pickled StyleGAN3 or StyleGAN-XL says of its sizes, checked before anything is built from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from rosetta.errors import InvalidRequest
from workers.zoo import records
from workers.zoo.records import Record
from workers.zoo.stylegan3_geometry import Layer, Signal, between, progression

# Options by their published names: the least and the most that can be meant.
_WHOLE = {
    "z_dim": (1, 2**16), "w_dim": (1, 2**16), "c_dim": (0, 2**20), "img_resolution": (1, 2**14),
    "img_channels": (1, 16), "num_layers": (1, 128), "num_critical": (0, 127), "margin_size": (0, 2**12),
    "conv_kernel": (1, 15), "filter_size": (1, 64), "lrelu_upsampling": (1, 8),
    **{f"{side}_{name}": (1, 2**16) for side in ("in", "out") for name in ("channels", "size", "sampling_rate")},
}  # fmt: skip
_REAL = {
    "lr_multiplier": (1e-9, 1e3), "channel_base": (1, 2**24), "channel_max": (1, 2**16), "output_scale": (1e-6, 1e6),
    "first_cutoff": (1e-3, 2**14), "first_stopband": (1e-3, 2**14), "last_stopband_rel": (1e-3, 2**5),
    "conv_clamp": (0, 1e30),
    **{f"{side}_{name}": (0, 2**16) for side in ("in", "out") for name in ("cutoff", "half_width")},
}  # fmt: skip
_FLAGS = {"use_radial_filters", "is_torgb", "is_critically_sampled"}
_PROGRESSION = (
    "img_resolution", "img_channels", "channel_base", "channel_max", "num_layers", "num_critical", "first_cutoff",
    "first_stopband", "last_stopband_rel", "margin_size",
)  # fmt: skip
# Options of every layer, and what `Layer` calls them.
_LAYER = {
    "conv_kernel": "kernel",
    "filter_size": "filter_size",
    "lrelu_upsampling": "oversampling",
    "use_radial_filters": "radial",
    "conv_clamp": "clamp",
}
_ELSEWHERE = {"z_dim", "c_dim", "w_dim", "mapping_kwargs", "output_scale"}
_FOR_TRAINING = {"num_fp16_res", "magnitude_ema_beta"}
_POSITIONS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs")
_MOST_TAPS = 2**10


def settings(record: Record) -> dict[str, Any]:
    """What a module was made with, and over that its attributes, which may have changed since."""
    return records.arguments(record) | record.state


def read(found: Mapping[str, Any], names: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """The options of those names, as plain numbers; the optional ones where they are given.

    Raises:
        InvalidRequest: when one is missing, of another type, or beyond what can be meant.
    """
    chosen = {name: found[name] for name in optional if name in found}
    for name in names:
        if name not in found:
            raise InvalidRequest(f"the file does not say its {name}: it is no StyleGAN3, or of another version")
        chosen[name] = found[name]
    return {name: _checked(name, value) for name, value in chosen.items()}


def _checked(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size and (value == value.flat[0]).all():
        value = value.flat[0]  # a size of both axes
    if isinstance(value, np.generic):
        value = value.item()
    if name in _FLAGS:
        right = isinstance(value, bool)
    elif value is None:
        right = name == "conv_clamp"
    else:
        least, most = _WHOLE.get(name) or _REAL[name]
        right = type(value) in (int, float) and least <= value <= most and (name in _REAL or value == int(value))
        value = int(value) if right and name in _WHOLE else value
    if not right:
        raise InvalidRequest(f"the file says {name}={str(value)[:40]}, which no StyleGAN3 has: download it again")
    return value


def published_layers(record: Record, file: str) -> dict[str, Layer]:
    """The layers of a `Generator` by what it was made with.

    Raises:
        InvalidRequest: when that is no StyleGAN3, or one with an option whose arithmetic is not known here.
    """
    given = records.arguments(record, _POSITIONS)
    known = {*_PROGRESSION, *_LAYER, *_ELSEWHERE, *_FOR_TRAINING}
    if unknown := sorted(map(str, given.keys() - known)):
        raise InvalidRequest(
            f"'{file}' was made with the option {unknown[0]}, which the published StyleGAN3 does not have: "
            "its images cannot be made here",
            file=file,
        )
    chosen = read(given, ("img_resolution", "img_channels"), _PROGRESSION)
    options = {_LAYER[name]: value for name, value in read(given, (), _LAYER).items()}
    layers_before, critical = chosen.get("num_layers", 14), chosen.get("num_critical", 2)
    if critical >= layers_before:
        raise InvalidRequest(f"the file says num_critical={critical} of num_layers={layers_before}: download it again")
    return _consistent(between(progression(**chosen), critical, **options))


def stored_layers(synthesis: Record) -> dict[str, Layer]:
    """The layers of a synthesis that was put together from several, by what each of them says.

    Raises:
        InvalidRequest: when they are no layers of StyleGAN3, or do not follow one another.
    """
    names = records.attribute(synthesis, "layer_names", list)
    modules = Record(synthesis.kind, records.attribute(synthesis, "_modules", dict))
    if not names or not all(isinstance(name, str) and re.fullmatch(r"L\d+_\d+_\d+", name) for name in names):
        raise InvalidRequest("the file's layer_names are none of StyleGAN3: it is another kind of network")
    return _consistent({name: _stored_layer(records.attribute(modules, name, Record)) for name in names})


def _stored_layer(record: Record) -> Layer:
    found = settings(record)
    signals = []
    for side in ("in", "out"):
        names = [f"{side}_{name}" for name in ("channels", "size", "sampling_rate", "cutoff", "half_width")]
        signals.append(Signal(*read(found, names).values()))
    options = {_LAYER[name]: value for name, value in read(found, (), _LAYER).items()}
    flags = read(found, ("is_torgb", "is_critically_sampled"))
    return Layer(*signals, colours=flags["is_torgb"], critical=flags["is_critically_sampled"], **options)


def _consistent(layers: dict[str, Layer]) -> dict[str, Layer]:
    """The layers.

    Raises:
        InvalidRequest: when a layer does not take what the one before it gives, or cannot be resampled.
    """
    for (_, before), (name, after) in pairwise(layers.items()):
        given, taken = before.after, after.before
        if (given.channels, given.size, given.rate) != (taken.channels, taken.size, taken.rate):
            raise InvalidRequest(
                f"the file's layer {name} takes {taken.channels} maps of {taken.size} x {taken.size}, and the one "
                f"before gives {given.channels} of {given.size} x {given.size}: download it again"
            )
    for name, layer in layers.items():
        rates = (layer.before.rate, layer.after.rate)
        if min(rates) < 1 or any(layer.rate % rate for rate in rates):
            raise InvalidRequest(f"the file's layer {name} goes from rate {rates[0]} to {rates[1]}: download it again")
        if max(layer.up_taps, layer.down_taps) > _MOST_TAPS:
            raise InvalidRequest(f"the file's layer {name} has filters of more than {_MOST_TAPS} taps: it is broken")
    return layers
