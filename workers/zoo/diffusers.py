"""The source `diffusers:`: unconditional UNets that make images from noise: `diffusers:google/ddpm-cifar10-32`."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo import maps, options, weights
from workers.zoo.base import Latents, LatentSpace, Network
from workers.zoo.diffusers_files import SCHEDULER, UNET, PipelineFiles
from workers.zoo.diffusers_sampler import Sampler, default_layers
from workers.zoo.locations import Locations

_INSTALL = "pip install 'rosetta-neurons[diffusion]'"
# What diffusers called the linear layers of attention before 0.15, and the files of `google/ddpm-*` still do.
_FORMER_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_FORMER_NAME = re.compile(rf"(?<=\.)({'|'.join(_FORMER_NAMES)})(?=\.(weight|bias)$)")

_STEPS = "20"
# More timesteps in training than any UNet has are a mistake or an attack on memory.
_MOST_TIMESTEPS = 100_000
# Where in training's timesteps units are recorded unless stated: nearly noise, half way, nearly an image.
_SPREAD = (0.9, 0.5, 0.1)


def load(reference: str, locations: Locations) -> Network:
    """The sampler of a pipeline on the hub or in a folder of that name inside a weights folder.

    `?steps=20&at=900,500,100` sets how many steps it takes, and the timesteps at which units are recorded: layer
    `t500.mid_block` is the middle block's output at timestep 500.

    Raises:
        InvalidRequest: when diffusers is not installed, the pipeline is nowhere or of another kind, its weights do
            not fit, or an option is wrong.
    """
    name, asked = options.split(reference, "diffusers", ("steps", "at"))
    files = PipelineFiles.of(name, locations)
    scheduler_class, unet_class = _library()
    _check_parts(files)
    unet = _unet(unet_class, files)
    shape = _image_shape(unet, files)
    scheduler = _scheduler(scheduler_class, files, asked.get("steps", _STEPS))
    stated = _stated(asked["at"], scheduler) if "at" in asked else _spread(scheduler)
    file = files.weights()
    sampler = Sampler(_with_weights(unet, weights.read_state(file), file.name, name), scheduler, shape, stated)
    return Network(
        module=sampler,
        layers=default_layers(sampler, stated),
        weights_digest=weights.digest_files([file]),
        family="diffusion",
        aliases=_aliases(name),
        latents=LatentSpace(dimensions=shape[0] * shape[1] * shape[2], height=shape[1], width=shape[2]),
        images=_images,
        inputs=_inputs,
        to_maps=maps.plain_maps,
        details={
            "architecture": "UNet2DModel",
            "sampler": f"DDIM without noise, {len(sampler.timesteps)} steps",
            "timesteps": list(stated),
        },
    )


def _library() -> tuple[Any, Any]:
    """The classes of the scheduler and the UNet.

    Raises:
        InvalidRequest: when diffusers is not installed.
    """
    try:
        from diffusers import DDIMScheduler, UNet2DModel
    except ImportError as error:
        raise InvalidRequest(f"a source diffusers: needs the library of that name: {_INSTALL}") from error
    return DDIMScheduler, UNet2DModel


def _check_parts(files: PipelineFiles) -> None:
    """Passes when the pipeline is a UNet and a scheduler: with an autoencoder, say, its UNet makes no images."""
    index = files.index()
    parts = [part for part, described in index.items() if isinstance(described, list)]
    if others := sorted(set(parts) - {"unet", "scheduler"}):
        raise files.refusal(
            f"it is a {index.get('_class_name')} with {', '.join(others)}; only unconditional pipelines of a UNet "
            "and a scheduler (DDPM, DDIM) are read"
        )


def _unet(unet_class: Any, files: PipelineFiles) -> nn.Module:
    """The UNet that the configuration describes, without memory for its weights."""
    _, config = files.config(UNET)
    kind = config.get("_class_name")
    if kind != "UNet2DModel":
        raise files.refusal(f"its UNet is a {kind}; only an unconditional UNet2DModel is read")
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        raise files.refusal("its UNet takes classes; only an unconditional UNet2DModel is read")
    try:
        with torch.device("meta"):
            unet: nn.Module = unet_class.from_config(config)
    except Exception as error:  # a configuration may hold anything
        raise files.refusal(f"its UNet cannot be built ({_in_a_line(error)})") from error
    return unet


def _image_shape(unet: Any, files: PipelineFiles) -> tuple[int, int, int]:
    """Channels, height and width of the images.

    Raises:
        InvalidRequest: when they are not RGB, of no fixed size, or of one that the UNet cannot take.
    """
    channels = {unet.config.in_channels, unet.config.out_channels}
    if channels != {3}:
        raise files.refusal(
            f"its UNet turns {unet.config.in_channels} channels into {unet.config.out_channels}; only one of RGB "
            "images, 3 into 3, is read"
        )
    size = unet.config.sample_size
    sides = (size, size) if isinstance(size, int) else size
    if not (isinstance(sides, (list, tuple)) and len(sides) == 2 and all(isinstance(s, int) and s > 0 for s in sides)):
        raise files.refusal(f"its UNet has the sample_size {size}, which is no size of images")
    try:
        with torch.inference_mode():  # without memory, as the UNet still is: only shapes are worked out
            unet(torch.empty(1, 3, *sides, device="meta"), 0)
    except Exception as error:  # a configuration may hold anything
        raise files.refusal(f"its UNet fails at its sample_size {size} ({_in_a_line(error)})") from error
    return 3, sides[0], sides[1]


def _scheduler(scheduler_class: Any, files: PipelineFiles, steps: str) -> Any:
    """DDIM with the schedule of noise that the UNet was trained on, its timesteps set.

    Raises:
        InvalidRequest: when the pipeline's scheduler is of another kind, or that many steps cannot be taken.
    """
    _, config = files.config(SCHEDULER)
    kind, trained = config.get("_class_name"), config.get("num_train_timesteps", 1000)
    known = {related.__name__ for related in scheduler_class.from_config({}).compatibles} | {scheduler_class.__name__}
    if kind not in known:
        raise files.refusal(f"its scheduler is a {kind}, whose schedule of noise DDIM cannot follow")
    if not isinstance(trained, int) or not 1 <= trained <= _MOST_TIMESTEPS:
        raise files.refusal(f"its scheduler has {trained!r} timesteps, not 1 to {_MOST_TIMESTEPS}")
    if not (steps.isdecimal() and len(steps) < 10 and 1 <= int(steps) <= trained):
        raise InvalidRequest(f"steps={steps}: {files.name} takes 1 to {trained} steps, each a timestep of its training")
    try:
        scheduler = scheduler_class.from_config(config)
        scheduler.set_timesteps(int(steps))
    except Exception as error:  # a configuration may hold anything
        raise files.refusal(f"its scheduler cannot be built ({_in_a_line(error)})") from error
    if not 0 <= int(scheduler.timesteps.min()) <= int(scheduler.timesteps.max()) < trained:
        raise InvalidRequest(f"steps={steps}: the schedule of {files.name} leaves its training then: take fewer steps")
    return scheduler


def _stated(text: str, scheduler: Any) -> tuple[int, ...]:
    """The timesteps of `900,500,100`, in the sampler's order.

    Raises:
        InvalidRequest: when one is not the sampler's; lists those near it.
    """
    own: list[int] = scheduler.timesteps.tolist()
    asked = text.split(",")
    for part in asked:
        if not (part.isdecimal() and len(part) < 10):
            raise InvalidRequest(
                f"at={text} is no list of timesteps: write at={','.join(map(str, _spread(scheduler)))}"
            )
        if int(part) not in own:
            near = sorted(own, key=lambda timestep: abs(timestep - int(part)))[:3]
            raise InvalidRequest(
                f"the sampler takes {len(own)} steps and none at timestep {part}: the nearest are "
                f"{', '.join(map(str, near))}; state one of those, or other steps"
            )
    return tuple(timestep for timestep in own if timestep in set(map(int, asked)))


def _spread(scheduler: Any) -> tuple[int, ...]:
    """The sampler's timesteps nearest to nine tenths, a half and one tenth of training's, in its order."""
    own: list[int] = scheduler.timesteps.tolist()
    wanted = [part * scheduler.config.num_train_timesteps for part in _SPREAD]
    nearest = {min(own, key=lambda timestep: abs(timestep - place)) for place in wanted}
    return tuple(timestep for timestep in own if timestep in nearest)


def _with_weights(unet: nn.Module, state: weights.State, file: str, name: str) -> nn.Module:
    """The UNet with all weights of a file.

    Raises:
        InvalidRequest: naming the first keys that do not fit.
    """
    renamed = {_FORMER_NAME.sub(lambda match: _FORMER_NAMES[match[1]], key): tensor for key, tensor in state.items()}
    wanted = unet.state_dict()
    renamed = weights.strip_prefix(renamed, wanted)
    if reason := weights.misfit(wanted, renamed):  # before memory is taken for what a configuration asks
        raise weights.mismatch(file, f"the UNet of {name}", reason)
    unet.to_empty(device="cpu").load_state_dict(renamed)
    return unet.eval().requires_grad_(False)


def _aliases(name: str) -> tuple[str, ...]:
    tail = name.rpartition("/")[2].lower()
    kinds = [kind for kind in ("ddpm", "ddim") if kind in tail]
    return tuple(dict.fromkeys((name.lower(), tail, tail.replace("-", " "), *kinds, "diffusion")))


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _images(output: Tensor) -> Tensor:
    return (output.float() + 1).div(2).clamp(0, 1)


def _inputs(latents: Latents) -> tuple[Any, ...]:
    return (latents.values,)
