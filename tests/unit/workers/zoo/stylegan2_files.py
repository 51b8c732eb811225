"""Tiny StyleGAN2 files in each published layout, and their images by plain arithmetic in float64.

The reference follows the papers: weights are scaled, modulated and demodulated for each image on its own, and a map
is doubled by zeros between its pixels.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import log2, sqrt

import numpy as np
import pickles
import torch
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class Tiny:
    """The sizes of a generator."""

    architecture: str = "skip"
    resolution: int = 16
    z: int = 5
    w: int = 6
    classes: int = 0
    mapping: int = 3
    clamp: float | None = None
    noise: bool = True
    colours: int = 3
    rate: float = 0.01
    activation: str = "lrelu"

    @property
    def sides(self):
        return [2**power for power in range(2, int(log2(self.resolution)) + 1)]

    @property
    def channels(self):
        return {side: 3 + index for index, side in enumerate(reversed(self.sides))}

    @property
    def ws(self):
        return 2 * len(self.sides)


def draw(tiny, seed=0):
    """{dotted name: tensor} as NVIDIA's PyTorch files store them, without the filters that go unused."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0, mean=0.0):
        return torch.randn(shape, generator=generator) * scale + mean

    state = {"mapping.w_avg": normal(tiny.w)}
    if tiny.classes:
        state |= {"mapping.embed.weight": normal(tiny.w, tiny.classes), "mapping.embed.bias": normal(tiny.w)}
    inputs = tiny.z + (tiny.w if tiny.classes else 0)
    for index in range(tiny.mapping):
        state[f"mapping.fc{index}.weight"] = normal(tiny.w, inputs, scale=1 / tiny.rate)
        state[f"mapping.fc{index}.bias"] = normal(tiny.w, scale=0.3 / tiny.rate)
        inputs = tiny.w

    def modulated(name, inputs, outputs, size, side=None):
        state[f"{name}.weight"] = normal(outputs, inputs, size, size)
        state[f"{name}.bias"] = normal(outputs, scale=0.3)
        state[f"{name}.affine.weight"] = normal(inputs, tiny.w)
        state[f"{name}.affine.bias"] = normal(inputs, scale=0.3, mean=1)
        if side and tiny.noise:
            state[f"{name}.noise_const"] = normal(side, side)
            state[f"{name}.noise_strength"] = normal()

    before = None
    for side, channels in sorted(tiny.channels.items()):
        block = f"synthesis.b{side}"
        if before is None:
            state[f"{block}.const"] = normal(channels, side, side)
        else:
            modulated(f"{block}.conv0", before, channels, 3, side)
            if tiny.architecture == "resnet":
                state[f"{block}.skip.weight"] = normal(channels, before, 1, 1)
        modulated(f"{block}.conv1", channels, channels, 3, side)
        if tiny.architecture == "skip" or side == tiny.resolution:
            modulated(f"{block}.torgb", channels, tiny.colours, 1)
        before = channels
    return state


FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def persistent(tiny, state, conv_filter=FILTER):
    """The `Generator` of stylegan2-ada-pytorch, with the attributes that its constructors set."""

    def dense(name, activation="linear", rate=1.0):
        weight = state[f"{name}.weight"]
        return pickles.module(
            "FullyConnectedLayer",
            parameters={"weight": weight, "bias": state[f"{name}.bias"]},
            activation=activation,
            weight_gain=rate / np.sqrt(weight.shape[1]),
            bias_gain=rate,
        )

    def convolution(name, side, up):
        noise = {"noise_const": state[f"{name}.noise_const"]} if tiny.noise else {}
        strength = {"noise_strength": state[f"{name}.noise_strength"]} if tiny.noise else {}
        return pickles.module(
            "SynthesisLayer",
            parameters={"weight": state[f"{name}.weight"], **strength, "bias": state[f"{name}.bias"]},
            buffers={"resample_filter": conv_filter, **noise},
            modules={"affine": dense(f"{name}.affine")},
            resolution=side,
            up=up,
            use_noise=tiny.noise,
            activation=tiny.activation,
            conv_clamp=tiny.clamp,
            padding=1,
            act_gain=np.sqrt(2),
        )

    def colours(name):
        weight = state[f"{name}.weight"]
        return pickles.module(
            "ToRGBLayer",
            parameters={"weight": weight, "bias": state[f"{name}.bias"]},
            modules={"affine": dense(f"{name}.affine")},
            conv_clamp=tiny.clamp,
            weight_gain=1 / np.sqrt(weight.shape[1]),
        )

    def block(side):
        name, modules = f"synthesis.b{side}", {}
        if side > 4:
            modules["conv0"] = convolution(f"{name}.conv0", side, 2)
        modules["conv1"] = convolution(f"{name}.conv1", side, 1)
        if f"{name}.torgb.weight" in state:
            modules["torgb"] = colours(f"{name}.torgb")
        if f"{name}.skip.weight" in state:
            weight = state[f"{name}.skip.weight"]
            modules["skip"] = pickles.module(
                "Conv2dLayer",
                parameters={"weight": weight, "bias": None},
                buffers={"resample_filter": conv_filter},
                weight_gain=1 / np.sqrt(weight.shape[1]),
                up=2,
                activation="linear",
            )
        return pickles.module(
            "SynthesisBlock",
            parameters={"const": state[f"{name}.const"]} if side == 4 else {},
            buffers={"resample_filter": conv_filter},
            modules=modules,
            resolution=side,
            architecture=tiny.architecture,
            is_last=side == tiny.resolution,
            use_fp16=side > 8,
        )

    mapping = pickles.module(
        "MappingNetwork",
        buffers={"w_avg": state["mapping.w_avg"]} if "mapping.w_avg" in state else {},
        modules={
            **({"embed": dense("mapping.embed")} if tiny.classes else {}),
            **{f"fc{index}": dense(f"mapping.fc{index}", tiny.activation, tiny.rate) for index in range(tiny.mapping)},
        },
        z_dim=tiny.z,
        c_dim=tiny.classes,
        num_layers=tiny.mapping,
        w_avg_beta=0.995,
    )
    synthesis = pickles.module(
        "SynthesisNetwork", modules={f"b{side}": block(side) for side in tiny.sides}, num_ws=tiny.ws
    )
    return pickles.module(
        "Generator",
        modules={"synthesis": synthesis, "mapping": mapping},
        kwargs={"z_dim": tiny.z, "synthesis_kwargs": pickles.EasyDict(conv_clamp=tiny.clamp)},
        z_dim=tiny.z,
        c_dim=tiny.classes,
        w_dim=tiny.w,
        img_resolution=tiny.resolution,
        img_channels=tiny.colours,
    )


def tensorflow(tiny, state, **options):
    """(G, D, Gs) of TensorFlow's files, whose kernels lie as [K, K, I, O] and matrices as [I, O]."""
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    mapping, synthesis = [], []
    for index in range(tiny.mapping):
        mapping.append([f"Dense{index}/weight", arrays[f"mapping.fc{index}.weight"].T])
        mapping.append([f"Dense{index}/bias", arrays[f"mapping.fc{index}.bias"]])
    if tiny.classes:
        mapping.append(["LabelEmbed/weight", arrays["mapping.embed.weight"].T])
        mapping.append(["LabelEmbed/bias", arrays["mapping.embed.bias"]])
    number = 0
    for side in tiny.sides:
        layers = {"conv0": "Conv0_up", "conv1": "Conv1" if side > 4 else "Conv", "torgb": "ToRGB", "skip": "Skip"}
        for ours, theirs in layers.items():
            name = f"synthesis.b{side}.{ours}"
            if f"{name}.weight" not in arrays:
                continue
            weight = arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
            weight = weight[::-1, ::-1] if ours in {"conv0", "skip"} else weight
            synthesis.append([f"{side}x{side}/{theirs}/weight", weight])
            if ours != "skip":
                synthesis.append([f"{side}x{side}/{theirs}/bias", arrays[f"{name}.bias"]])
                synthesis.append([f"{side}x{side}/{theirs}/mod_weight", arrays[f"{name}.affine.weight"].T])
                synthesis.append([f"{side}x{side}/{theirs}/mod_bias", arrays[f"{name}.affine.bias"] - 1])
            if f"{name}.noise_strength" in arrays:
                synthesis.append([f"{side}x{side}/{theirs}/noise_strength", arrays[f"{name}.noise_strength"]])
                synthesis.append([f"noise{number}", arrays[f"{name}.noise_const"][None, None]])
                number += 1
    synthesis.append(["4x4/Const/const", arrays["synthesis.b4.const"][None]])

    def network(name, variables, components=None):
        return pickles.Network(
            version=4,
            name=name,
            static_kwargs=pickles.EasyDict(
                {"resolution": tiny.resolution, "label_size": tiny.classes, "mapping_lrmul": tiny.rate, **options}
            ),
            components=pickles.EasyDict(components or {}),
            build_module_src="raise RuntimeError('the source in a pickle ran')",
            build_func_name="G_main",
            variables=variables,
        )

    parts = {"mapping": network("G_mapping", mapping), "synthesis": network("G_synthesis", synthesis)}
    top = [["lod", np.float32(0)], ["dlatent_avg", arrays["mapping.w_avg"]]]
    other = network("other", [["weight", np.zeros(2, "float32")]])
    return other, other, network("Gs", top, parts)


def port(tiny, seed=0):
    """The state dict and mean w of the PyTorch port: as `convert_weight.py` and `train.py` save them."""
    state = draw(tiny, seed)
    found = OrderedDict()
    for index in range(tiny.mapping):
        found[f"style.{index + 1}.weight"] = state[f"mapping.fc{index}.weight"]
        found[f"style.{index + 1}.bias"] = state[f"mapping.fc{index}.bias"]
    found["input.input"] = state["synthesis.b4.const"][None]

    def modulated(ours, theirs, up=False):
        found[f"{theirs}.conv.weight"] = state[f"{ours}.weight"][None]
        if up:
            found[f"{theirs}.conv.blur.kernel"] = FILTER * 4
        found[f"{theirs}.conv.modulation.weight"] = state[f"{ours}.affine.weight"]
        found[f"{theirs}.conv.modulation.bias"] = state[f"{ours}.affine.bias"]
        if "torgb" in ours:
            found[f"{theirs}.bias"] = state[f"{ours}.bias"].view(1, 3, 1, 1)
        else:
            found[f"{theirs}.noise.weight"] = state[f"{ours}.noise_strength"].view(1)
            found[f"{theirs}.activate.bias"] = state[f"{ours}.bias"]

    modulated("synthesis.b4.conv1", "conv1")
    modulated("synthesis.b4.torgb", "to_rgb1")
    noises = [state["synthesis.b4.conv1.noise_const"]]
    for index, side in enumerate(tiny.sides[1:]):
        modulated(f"synthesis.b{side}.conv0", f"convs.{2 * index}", up=True)
        modulated(f"synthesis.b{side}.conv1", f"convs.{2 * index + 1}")
        modulated(f"synthesis.b{side}.torgb", f"to_rgbs.{index}")
        found[f"to_rgbs.{index}.upsample.kernel"] = FILTER * 4
        noises += [state[f"synthesis.b{side}.conv{number}.noise_const"] for number in (0, 1)]
    for number, noise in enumerate(noises):
        found[f"noises.noise_{number}"] = noise[None, None]
    return found, state["mapping.w_avg"]


class Reference:
    """Images from NVIDIA's tensors; `scaled` divides modulated kernels by the root of their fan-in, as the port."""

    def __init__(self, tiny, state, scaled=False, kernel=FILTER):
        self.tiny, self.scaled = tiny, scaled
        self.state = {name: tensor.double() for name, tensor in state.items()}
        self.kernel = kernel.double()
        self.outputs = {}

    def mapping(self, z, label=None):
        """w of one z."""
        tiny, state = self.tiny, self.state
        x = z.double() / (z.double().square().mean() + 1e-8).sqrt()
        if tiny.classes:
            y = state["mapping.embed.weight"][:, label] / sqrt(tiny.classes) + state["mapping.embed.bias"]
            x = torch.cat([x, y / (y.square().mean() + 1e-8).sqrt()])
        for index in range(tiny.mapping):
            weight, bias = state[f"mapping.fc{index}.weight"], state[f"mapping.fc{index}.bias"]
            x = self.activation(weight @ x * tiny.rate / sqrt(weight.shape[1]) + bias * tiny.rate)
        return x

    def activation(self, x):
        if self.tiny.activation == "lrelu":
            return torch.where(x > 0, x, x / 5) * sqrt(2)
        assert self.tiny.activation == "swish"
        return x / (1 + torch.exp(-x)) * sqrt(2)

    def cut(self, x, gain=1.0):
        return x if self.tiny.clamp is None else x.clip(-self.tiny.clamp * gain, self.tiny.clamp * gain)

    def style(self, name, w):
        weight = self.state[f"{name}.affine.weight"]
        return weight @ w / sqrt(weight.shape[1]) + self.state[f"{name}.affine.bias"]

    def filtered(self, x, pad):
        """The filter is even, so that its direction does not matter; each new pixel keeps the brightness."""
        x = F.pad(x, pad)
        return 4 * torch.stack([F.conv2d(one[None, None], self.kernel[None, None])[0, 0] for one in x])

    def spread(self, x):
        spread = x.new_zeros(x.shape[0], 2 * x.shape[1] - 1, 2 * x.shape[2] - 1)
        spread[:, ::2, ::2] = x
        return spread

    def doubled(self, x):
        return self.filtered(F.pad(self.spread(x), (0, 1, 0, 1)), (2, 1, 2, 1))

    def convolution(self, name, x, w, up=False, gain=1.0):
        weight = self.state[f"{name}.weight"]
        if self.scaled:
            weight = weight / sqrt(weight[0].numel())
        weight = weight * self.style(name, w)[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            x = F.conv2d(self.spread(x)[None], weight.flip(2, 3), padding=2)[0]
            x = self.filtered(x, (1, 1, 1, 1))
        else:
            x = F.conv2d(x[None], weight, padding=1)[0]
        if self.tiny.noise:
            x = x + self.state[f"{name}.noise_const"] * self.state[f"{name}.noise_strength"]
        x = self.cut(self.activation(x + self.state[f"{name}.bias"][:, None, None]) * gain, gain)
        self.outputs[name] = x
        return x

    def colours(self, name, x, w):
        weight = self.state[f"{name}.weight"]
        weight = weight * self.style(name, w)[None, :, None, None] / sqrt(weight.shape[1])
        return self.cut(F.conv2d(x[None], weight)[0] + self.state[f"{name}.bias"][:, None, None])

    def synthesis(self, ws):
        """The image of one w+."""
        image, number = None, 0
        for side in self.tiny.sides:
            block = f"synthesis.b{side}"
            if side == 4:
                x = self.convolution(f"{block}.conv1", self.state[f"{block}.const"], ws[0])
                number = 1
            elif self.tiny.architecture == "resnet":
                weight = self.state[f"{block}.skip.weight"]
                short_cut = F.conv2d(self.doubled(x)[None], weight / sqrt(weight.shape[1]))[0] * sqrt(0.5)
                x = self.convolution(f"{block}.conv0", x, ws[number], up=True)
                x = self.convolution(f"{block}.conv1", x, ws[number + 1], gain=sqrt(0.5)) + short_cut
                number += 2
            else:
                x = self.convolution(f"{block}.conv0", x, ws[number], up=True)
                x = self.convolution(f"{block}.conv1", x, ws[number + 1])
                number += 2
            if f"{block}.torgb.weight" in self.state:
                colours = self.colours(f"{block}.torgb", x, ws[number])
                image = colours if image is None else self.doubled(image) + colours
        return image

    def image(self, z, label=None, psi=1.0):
        w = self.mapping(z, label)
        mean = self.state["mapping.w_avg"]
        return self.synthesis([mean + psi * (w - mean)] * self.tiny.ws)
