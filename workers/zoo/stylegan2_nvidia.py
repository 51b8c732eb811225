"""StyleGAN2 from NVIDIA's pickles: the persistent modules of PyTorch, and the variables of TensorFlow."""

from __future__ import annotations

import re
from math import log2
from typing import Any

from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.zoo import records
from workers.zoo.records import Record
from workers.zoo.stylegan2 import Generator, built
from workers.zoo.stylegan2_weights import Place, Tensors, layout, load
from workers.zoo.stylegan_built import Built
from workers.zoo.upfirdn import fir

TENSORFLOW = "dnnlib.tflib.network.Network"
_BLOCK = re.compile(r"synthesis\.b(\d+)\.")


def build(record: Record, file: str) -> Built:
    """The generator of a persistent `Generator` (stylegan2-ada-pytorch, and the StyleGAN2 of stylegan3).

    Raises:
        InvalidRequest: when it is another network; names the first keys that do not fit.
    """
    state = records.state_dict(record)
    resolutions = sorted({int(match[1]) for key in state if (match := _BLOCK.match(key))})
    if not resolutions:
        raise InvalidRequest(f"'{file}' holds a {record.kind} without resolutions: it is no StyleGAN2", file=file)
    convolution = _inside(record, f"synthesis.b{resolutions[0]}.conv1")
    first_dense = _inside(record, "mapping.fc0")
    tensors = Tensors(state, lambda name: (name, _same), file, "the StyleGAN2 of NVIDIA's PyTorch files")
    sizes = layout(
        tensors,
        resolutions,
        activation=records.attribute(convolution, "activation", str),
        mapping_activation=records.attribute(first_dense, "activation", str),
        clamp=records.attribute(convolution, "conv_clamp", (int, float, type(None))),
    )
    module = Generator(sizes)
    # Every layer of a file has a filter; those that keep the resolution do not use it.
    wanted = module.state_dict()
    used = {key: value for key, value in state.items() if key in wanted or not key.endswith("resample_filter")}
    tensors = Tensors(used, tensors.place, file, tensors.architecture)
    load(module, tensors, rate=records.attribute(first_dense, "bias_gain", (int, float)))
    return built(module, sizes)


def _inside(record: Record, path: str) -> Record:
    """The module at a dotted path."""
    for name in path.split("."):
        record = records.attribute(Record(record.kind, records.attribute(record, "_modules", dict)), name, Record)
    return record


# Options of a TensorFlow network that change nothing of what its tensors and the options below say.
_TOLD_BY_TENSORS = {
    "latent_size", "label_size", "dlatent_size", "resolution", "num_channels", "mapping_layers", "label_fmaps",
    "mapping_fmaps", "fmap_base", "fmap_max", "fmap_min", "fmap_decay", "architecture", "use_noise",
}  # fmt: skip
_FOR_TRAINING = {
    "w_avg_beta", "num_fp16_res", "truncation_psi", "truncation_cutoff", "style_mixing_prob", "structure",
    "conditioning", "fused_modconv", "dlatent_avg_beta", "randomize_noise",
}  # fmt: skip
_OPTIONS = {"mapping_nonlinearity", "mapping_lrmul", "nonlinearity", "conv_clamp", "resample_kernel"}


def build_tensorflow(record: Record, file: str) -> Built:
    """The generator of a `Network` with variables (StyleGAN2 and StyleGAN2-ADA of TensorFlow).

    Raises:
        InvalidRequest: when it is another network, or has an option whose arithmetic is not known here.
    """
    options: dict[str, Any] = records.attribute(record, "static_kwargs", dict)
    if unknown := sorted(options.keys() - _TOLD_BY_TENSORS - _FOR_TRAINING - _OPTIONS):
        raise InvalidRequest(
            f"'{file}' was made with the option {unknown[0]}={options[unknown[0]]!r}, which the published StyleGAN2 "
            "does not have: its images cannot be made here",
            file=file,
        )
    given = {key: value for key, value in options.items() if value is not None}
    state = {key: value for key, value in _variables(record).items() if key.rpartition("/")[2] != "lod"}
    resolutions = sorted({int(match[1]) for key in state if (match := re.match(r"synthesis/(\d+)x\1/", key))})
    kernel = fir(given.get("resample_kernel", [1, 3, 3, 1]))
    filters = {
        name: kernel
        for side in resolutions[1:]
        for name in (f"synthesis.b{side}.{part}resample_filter" for part in ("conv0.", "skip.", ""))
    }
    tensors = Tensors({**state, **filters}, _tensorflow_place, file, "the StyleGAN2 of NVIDIA's TensorFlow files")
    sizes = layout(
        tensors,
        resolutions or [4],
        activation=given.get("nonlinearity", "lrelu"),
        mapping_activation=given.get("mapping_nonlinearity", "lrelu"),
        clamp=given.get("conv_clamp"),
    )
    module = Generator(sizes)
    used = {**state, **{name: kernel for name in module.state_dict() if name in filters}}
    load(module, Tensors(used, tensors.place, file, tensors.architecture), rate=given.get("mapping_lrmul", 0.01))
    return built(module, sizes)


def _variables(record: Record, prefix: str = "") -> dict[str, Tensor]:
    """The variables of a network and of its components, by path."""
    found = {f"{prefix}{name}": records.tensor(value) for name, value in records.attribute(record, "variables", list)}
    for name, component in records.attribute(record, "components", dict).items():
        found |= _variables(component, f"{prefix}{name}/")
    return found


def _tensorflow_place(name: str) -> Place:
    """Where the variables lie, and how they lie: kernels as [K, K, I, O], matrices as [I, O]."""
    if name == "mapping.w_avg":
        return "dlatent_avg", _same
    if match := re.fullmatch(r"mapping\.(embed|fc(\d+))\.(weight|bias)", name):
        layer = "LabelEmbed" if match[1] == "embed" else f"Dense{match[2]}"
        return f"mapping/{layer}/{match[3]}", _same if match[3] == "bias" else Tensor.t
    match = re.fullmatch(r"synthesis\.b(\d+)\.(?:(conv0|conv1|torgb|skip)\.)?(\w+(?:\.\w+)?)", name)
    if match is None or match[3] == "resample_filter":
        return name, _same
    side, layer, kind = int(match[1]), match[2], match[3]
    if kind == "const":
        return f"synthesis/{side}x{side}/Const/const", lambda value: value[0]
    if kind == "noise_const":
        return f"synthesis/noise{2 * int(log2(side)) - 5 + int(layer[-1])}", lambda value: value[0, 0]
    names = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB", "skip": "Skip"}
    kinds: dict[str, Place] = {
        # TensorFlow turns the kernel of an upsampling convolution round.
        "weight": ("weight", _flipped_kernel if layer in {"conv0", "skip"} else _kernel),
        "affine.weight": ("mod_weight", Tensor.t),
        "affine.bias": ("mod_bias", lambda value: value + 1),
    }
    key, change = kinds.get(kind, (kind, _same))
    return f"synthesis/{side}x{side}/{names[layer]}/{key}", change


def _same(value: Tensor) -> Tensor:
    return value


def _kernel(value: Tensor) -> Tensor:
    return value.permute(3, 2, 0, 1)


def _flipped_kernel(value: Tensor) -> Tensor:
    return _kernel(value).flip(2, 3)
