"""Tiny StyleGAN3 and StyleGAN-XL pickles in the published layout.

The places of the layers follow the formulas of Karras et al. 2021 (section 3.2, appendix C) one number at a time, and
those of StyleGAN-XL's head Sauer et al. 2022 (section 3.3). Filters are uneven at random, so that a convolution is
told from a correlation and a wrong margin by a sample.
"""

from dataclasses import asdict, dataclass, field
from math import ceil, log2

import numpy as np
import pickles
import torch
from torch import nn


@dataclass(frozen=True)
class Place:
    """A layer, by the names of its constructor's arguments."""

    is_torgb: bool
    is_critically_sampled: bool
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    in_sampling_rate: int
    out_sampling_rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float


@dataclass(frozen=True)
class Tiny:
    """A generator; `grown` are (factor, layers) of StyleGAN-XL's heads, one after the other."""

    resolution: int = 32
    colours: int = 3
    z: int = 5
    w: int = 6
    classes: int = 0
    depth: int = 2
    rate: float = 0.01
    layers: int = 4
    critical: int = 1
    base: float = 64
    most: int = 4
    margin: int = 2
    scale: float = 0.25
    kernel: int = 3
    radial: bool = False
    clamp: float | None = 256
    filter_size: int = 6
    oversampling: int = 2
    table: tuple[int, int] | None = None
    grown: tuple[tuple[int, int], ...] = ()
    more: dict = field(default_factory=dict)

    @property
    def side(self):
        return self.resolution * int(np.prod([factor for factor, _ in self.grown], initial=1))

    @property
    def places(self):
        """{name: layer} in forward order."""
        found = self._climb(self.resolution, self.layers, self.critical, (2.0, 2**2.1), None, 0)
        resolution = self.resolution
        for factor, layers in self.grown:
            resolution *= factor
            stem = {name: place for name, place in found.items() if not place.is_critically_sampled}
            last = list(stem.values())[-1]
            start = (last.out_cutoff, last.out_cutoff + last.out_half_width)
            found = stem | self._climb(resolution, layers, 2, start, last, len(stem) + 1)
        return found

    def _climb(self, resolution, layers, critical, start, last, number):
        """From (f_c, f_t) of `start` to the resolution's own; `last` is the layer that it continues."""
        signals = []
        for index in range(layers + 1):
            step = min(index / (layers - critical), 1)
            cutoff = start[0] * (resolution / 2 / start[0]) ** step
            stopband = start[1] * (resolution / 2 * 2**0.3 / start[1]) ** step
            rate = 2 ** ceil(log2(min(2 * stopband, resolution)))
            channels = round(min(self.base / 2 / cutoff, self.most))
            if last and index == 0:
                rate, channels = last.out_sampling_rate, last.out_channels
            size = resolution if index >= layers - 1 else rate + 2 * self.margin
            half_width = max(stopband, rate / 2) - cutoff
            signals.append((self.colours if index == layers else channels, size, rate, cutoff, half_width))
        places = {}
        for index, after in enumerate(signals):
            both = zip(signals[max(index - 1, 0)], after, strict=True)
            name = f"L{number + index}_{after[1]}_{after[0]}"
            ends = (value for pair in both for value in pair)
            places[name] = Place(index == layers, index >= layers - critical, *ends)
        return places

    def taps(self, place):
        """Of the filters before and behind the non-linearity."""
        if place.is_torgb:
            return 1, 1
        rate = self.oversampling * max(place.in_sampling_rate, place.out_sampling_rate)
        factors = rate // place.in_sampling_rate, rate // place.out_sampling_rate
        return tuple(self.filter_size * factor if factor > 1 else 1 for factor in factors)


REAL = {"z": 512, "w": 512, "layers": 14, "critical": 2, "base": 32768, "most": 512, "margin": 10}


def shapes(tiny):
    """{key: shape} of a published file."""
    width = 0 if not tiny.classes else tiny.z if tiny.table else tiny.w
    found = {"mapping.w_avg": (tiny.classes, tiny.w) if tiny.table and tiny.classes else (tiny.w,)}
    if tiny.table:
        found["mapping.embed.weight"] = tiny.table
        if tiny.classes:
            found |= {"mapping.embed_proj.weight": (tiny.z, tiny.table[1]), "mapping.embed_proj.bias": (tiny.z,)}
    elif tiny.classes:
        found |= {"mapping.embed.weight": (tiny.w, tiny.classes), "mapping.embed.bias": (tiny.w,)}
    for index in range(tiny.depth):
        found[f"mapping.fc{index}.weight"] = (tiny.w, tiny.w if index else tiny.z + width)
        found[f"mapping.fc{index}.bias"] = (tiny.w,)
    first = next(iter(tiny.places.values())).in_channels
    found |= {
        "synthesis.input.weight": (first, first),
        "synthesis.input.affine.weight": (4, tiny.w),
        "synthesis.input.affine.bias": (4,),
        "synthesis.input.transform": (3, 3),
        "synthesis.input.freqs": (first, 2),
        "synthesis.input.phases": (first,),
    }
    for name, place in tiny.places.items():
        kernel = 1 if place.is_torgb else tiny.kernel
        up, down = tiny.taps(place)
        found |= {
            f"synthesis.{name}.weight": (place.out_channels, place.in_channels, kernel, kernel),
            f"synthesis.{name}.bias": (place.out_channels,),
            f"synthesis.{name}.affine.weight": (place.in_channels, tiny.w),
            f"synthesis.{name}.affine.bias": (place.in_channels,),
            f"synthesis.{name}.magnitude_ema": (),
        }
        if up > 1:
            found[f"synthesis.{name}.up_filter"] = (up,)
        if down > 1:
            flat = not tiny.radial or place.is_critically_sampled
            found[f"synthesis.{name}.down_filter"] = (down,) if flat else (down, down)
    return found


def draw(tiny, seed=0):
    """{key: tensor} at random, of the order of magnitude that training gives."""
    generator = torch.Generator().manual_seed(seed)

    def one(key, shape):
        value = torch.randn(shape, generator=generator)
        if key.endswith("_filter"):
            return value.abs() / value.abs().sum()
        if key.endswith("magnitude_ema"):
            return value.abs() + 0.5
        if key.endswith("transform"):
            return torch.tensor([[0.9, -0.3, 0.1], [0.2, 1.1, -0.05], [0, 0, 1.0]])
        if ".fc" in key:
            return value / tiny.rate * (0.3 if key.endswith("bias") else 1)
        if key.endswith(("affine.bias", "bias")):
            return value * 0.3 + ("affine" in key and "input" not in key)
        return value

    return {key: one(key, shape) for key, shape in shapes(tiny).items()}


def large(tiny):
    """{key: tensor} of real size that takes no room in the file: one number, repeated."""
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes(tiny).items()}


def persistent(tiny, state, **more):
    """The published `Generator`, or `SuperresGenerator` where it was grown; `more` are options of its constructor."""

    def dense(name, rate=1.0):
        weight = state[f"{name}.weight"]
        return pickles.module(
            "FullyConnectedLayer",
            parameters={"weight": weight, "bias": state[f"{name}.bias"]},
            weight_gain=rate / np.sqrt(weight.shape[1]),
            bias_gain=rate,
        )

    def embedding():
        if not tiny.table:
            return {"embed": dense("mapping.embed") if tiny.classes else None}
        table = nn.Embedding(*tiny.table, _weight=state["mapping.embed.weight"])
        return {"embed": table, "embed_proj": dense("mapping.embed_proj") if tiny.classes else None}

    options = {"conv_kernel": tiny.kernel, "use_radial_filters": tiny.radial, "conv_clamp": tiny.clamp}
    options |= {"filter_size": tiny.filter_size, "lrelu_upsampling": tiny.oversampling}
    mapping = pickles.module(
        "MappingNetwork",
        buffers={"w_avg": state["mapping.w_avg"]},
        modules={**embedding(), **{f"fc{i}": dense(f"mapping.fc{i}", tiny.rate) for i in range(tiny.depth)}},
        kwargs={"z_dim": tiny.z, "c_dim": tiny.classes, "w_dim": tiny.w, "num_ws": 9, "num_layers": tiny.depth}
        | ({"lr_multiplier": tiny.rate} if tiny.rate != 0.01 else {}),
        **{"z_dim": tiny.z, "c_dim": tiny.classes, "w_dim": tiny.w, "num_layers": tiny.depth, "w_avg_beta": 0.998},
        num_ws=len(tiny.places) + 1,
    )

    def layer(name, place):
        both = [np.broadcast_to(np.asarray(size), [2]) for size in (place.in_size, place.out_size)]
        numbers = {key: np.float64(value) for key, value in asdict(place).items() if key.endswith(("cutoff", "width"))}
        if tiny.table:
            both = [pickles.old_dill(size) for size in both]
            numbers = {key: pickles.old_dill(value) for key, value in numbers.items()}
        given = asdict(place) | numbers | {"w_dim": tiny.w, "use_fp16": True} | options
        return pickles.module(
            "SynthesisLayer",
            parameters={"weight": state[f"{name}.weight"], "bias": state[f"{name}.bias"]},
            buffers={key: state.get(f"{name}.{key}") for key in ("magnitude_ema", "up_filter", "down_filter")},
            modules={"affine": dense(f"{name}.affine")},
            kwargs=given,
            **asdict(place) | numbers | {"in_size": both[0], "out_size": both[1]},
            conv_kernel=1 if place.is_torgb else tiny.kernel,
            conv_clamp=tiny.clamp,
            padding=[0, 0, 0, 0],
        )

    first = pickles.module(
        "SynthesisInput",
        parameters={"weight": state["synthesis.input.weight"]},
        buffers={key: state[f"synthesis.input.{key}"] for key in ("transform", "freqs", "phases")},
        modules={"affine": dense("synthesis.input.affine")},
    )
    stem = {"img_resolution": tiny.resolution, "img_channels": tiny.colours, "channel_base": tiny.base}
    stem |= {"channel_max": tiny.most, "num_layers": tiny.layers, "num_critical": tiny.critical}
    stem |= {"margin_size": tiny.margin, "output_scale": tiny.scale, "magnitude_ema_beta": 0.999, **options}
    synthesis = pickles.module(
        "SynthesisNetwork",
        modules={"input": first} | {name: layer(f"synthesis.{name}", place) for name, place in tiny.places.items()},
        kwargs={"w_dim": tiny.w, **stem},
        layer_names=list(tiny.places),
        output_scale=tiny.scale,
        img_resolution=tiny.side,
    )
    modules = {"synthesis": synthesis, "mapping": mapping}
    if tiny.grown:
        factor, layers = tiny.grown[-1]
        given = {"img_resolution": tiny.side, "path_stem": "/nowhere/stem.pkl", "head_layers": layers, "c_dim": 0}
        given |= {"up_factor": factor}
        names = list(tiny.places)[-layers - 1 :]
        return pickles.module("SuperresGenerator", modules=modules, kwargs=given | more, head_layer_names=names)
    sizes = {"z_dim": tiny.z, "c_dim": tiny.classes, "w_dim": tiny.w}
    given = {**sizes, "mapping_kwargs": pickles.EasyDict(num_layers=tiny.depth), **stem, **tiny.more, **more}
    return pickles.module("Generator", modules=modules, kwargs=given, **sizes)
