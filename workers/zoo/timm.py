"""The source `timm:`: any image architecture of timm, such as `timm:resnet50.a1_in1k`."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn

from rosetta.errors import InvalidRequest
from workers.zoo import options, timm_hub, weights
from workers.zoo.base import Network, Preprocessing
from workers.zoo.locations import Locations
from workers.zoo.maps import MapReader

# A pretraining names the family where it tells more than the architecture does: `vit_base_patch16_224.mae`.
_PRETRAININGS = ("clip", "dino", "mae")
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def load(reference: str, locations: Locations) -> Network:
    """The timm network of an architecture, or one that someone published in timm's format on the hub.

    Args:
        reference: `architecture`, `architecture.tag` or `hf-hub:owner/name`; `?size=224x448` shows it larger or
            longer images than it is used to: position embeddings are resampled.
        locations: where its weights, and the configuration of one from the hub, may lie.

    Raises:
        InvalidRequest: when there is no such architecture, no weights are at hand, or they do not fit.
    """
    name, asked = options.split(reference, "timm", ("size",))
    size = options.size(asked["size"]) if "size" in asked else None
    if name.startswith(timm_hub.PREFIX):
        published = timm_hub.read(name, locations)
        _check_architecture(published.architecture)
        file = locations.file(_HUB_FILES, of=name, repository=published.repository)
        loaded = read(published.architecture, file, title=published.title, size=size, **published.arguments)
        aliases = (published.repository.lower(), *loaded.aliases)
        return replace(loaded, aliases=tuple(dict.fromkeys(aliases)))
    architecture, _, tag = name.partition(".")
    _check_architecture(architecture)
    config = _published(name)
    if config is None and locations.given is None:
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*"))
        if not tags:
            raise InvalidRequest(f"timm publishes no weights of {architecture}: pass --weights FILE")
        raise InvalidRequest(
            f"timm has no weights {tag!r} of {architecture}: write one of {tags}, or pass --weights FILE",
            architecture=architecture,
        )
    loaded = read(name if config else architecture, _file(name, config, locations), title=name, size=size)
    if locations.given and not tag:
        # The default weights' licence is not the file's.
        return replace(loaded, details={key: value for key, value in loaded.details.items() if key != "licence"})
    return loaded


def read(
    name: str, file: Path, *, title: str | None = None, size: tuple[int, int] | None = None, **arguments: Any
) -> Network:
    """The timm network `architecture` or `architecture.tag` with the weights of a file.

    Args:
        name: as timm knows it.
        file: weights of its own or of the projects whose checkpoints timm converts.
        title: `architecture.tag` as people know the weights; None: the name.
        size: height and width to show it images at, pixels; None: as it is used to.
        **arguments: of `timm.create_model`.

    Raises:
        InvalidRequest: when the weights do not fit, or it cannot take images of that size.
    """
    module = _with_weights(name, file, size, arguments)
    if size:
        _check_size(module, size, name)
    return network(module, title or name, weights.digest_files([file]), size)


def _check_architecture(architecture: str) -> None:
    """Passes when timm knows it.

    Raises:
        InvalidRequest: else, with the nearest names.
    """
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see timm.list_models()"
        raise InvalidRequest(f"timm has no architecture '{architecture}': {hint}", architecture=architecture)


def _published(reference: str) -> PretrainedCfg | None:
    """What timm knows of this pretraining; None: nothing."""
    try:
        return get_pretrained_cfg(reference)
    except RuntimeError:  # the architecture has no such tag
        return None


def create(name: str, **arguments: Any) -> nn.Module:
    """A timm module without weights, or with those in `arguments`, whose input is RGB.

    Raises:
        InvalidRequest: when its input is something else.
    """
    module: nn.Module = timm.create_model(name, **arguments)
    channels = resolve_model_data_config(module)["input_size"][0]
    if channels != 3:
        raise InvalidRequest(f"{name} takes {channels} channels; only RGB images can be shown to it")
    return module


def network(module: nn.Module, name: str, digest: str, size: tuple[int, int] | None = None) -> Network:
    """The network of a timm module whose weights are loaded; it sees images of its own or the given size."""
    config = resolve_model_data_config(module)
    height, width = size or config["input_size"][1:]
    architecture, _, tag = name.partition(".")
    head = getattr(module, "num_classes", 0)
    return Network(
        module=module,
        layers=default_layers(module),
        weights_digest=digest,
        family=family(module, architecture, tag),
        aliases=_aliases(architecture, tag),
        preprocessing=Preprocessing(
            height,
            width,
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        ),
        to_maps=map_reader(module, height, width),
        details={
            "architecture": architecture,
            "classes": head or "none: the weights came without a classifier",
            **({"licence": licence} if (licence := module.pretrained_cfg.get("license")) else {}),
        },
    )


def _file(reference: str, config: PretrainedCfg | None, locations: Locations) -> Path:
    if config and config.hf_hub_id:
        # An id that ends in a slash stands for the model's full name there.
        full_name = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
        repository = config.hf_hub_id + (full_name if config.hf_hub_id.endswith("/") else "")
        names = (config.hf_hub_filename,) if config.hf_hub_filename else _HUB_FILES
        return locations.file(names, of=reference, repository=repository)
    name = config.url.rpartition("/")[2] if config and config.url else f"{reference}.safetensors"
    return locations.file((name,), of=reference, url=config.url if config else None)


def _with_weights(name: str, file: Path, size: tuple[int, int] | None, arguments: dict[str, Any]) -> nn.Module:
    """The module with the file's weights, all of it, after timm's own renaming of foreign checkpoints.

    The classifier takes the size it has in the file; without one in the file there is none in the module.
    """
    state = weights.read_state(file)
    try:
        with torch.device("meta"):
            plain = create(name, **arguments)
    except TypeError as error:  # an architecture that takes no such argument
        raise InvalidRequest(f"{name} cannot be built: {' '.join(str(error).split())[:200]}") from error
    state = weights.backbone(state, plain.state_dict())
    if size and plain.pretrained_cfg.get("fixed_input_size"):
        arguments = {**arguments, "img_size": size}
    failure: Exception | None = None
    for classes in _class_counts(plain, state):
        # A copy, since timm's converters take entries out of it.
        overlay = {"state_dict": dict(state), "num_classes": classes, "label_offset": None}
        try:
            module = create(name, **arguments, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay)
        except (RuntimeError, KeyError, ValueError, AssertionError, TypeError) as error:
            failure = failure or error
            continue
        module.pretrained_cfg.pop("state_dict", None)  # a copy of all weights
        return module
    reason = weights.misfit(plain.state_dict(), state)
    if reason is None and size:
        raise _no_size(name, size, failure) from failure
    raise weights.mismatch(file.name, name, reason or " ".join(str(failure).split())[:200]) from failure


def _check_size(module: nn.Module, size: tuple[int, int], name: str) -> None:
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(1, 3, *size))
    except Exception as error:  # an architecture may raise anything
        raise _no_size(name, size, error) from error


def _no_size(name: str, size: tuple[int, int], error: Exception | None) -> InvalidRequest:
    height, width = size
    return InvalidRequest(
        f"{name} cannot take images of {height}x{width} ({' '.join(str(error).split())[:160]}): give another size",
        architecture=name,
    )


def _class_counts(plain: nn.Module, state: weights.State) -> list[int]:
    """Sizes of the classifier to try: the file's; else none, else the usual one (timm may rename its keys)."""
    heads = plain.pretrained_cfg.get("classifier") or ()
    for head in (heads,) if isinstance(heads, str) else heads:
        if f"{head}.weight" in state:
            return [state[f"{head}.weight"].shape[0]]
    return [0, plain.pretrained_cfg["num_classes"]]


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """The layers worth recording, by what timm says of the network's features.

    A network of stages gives the output of each, without the stem before them. A network of one resolution
    (ViT) gives in each block the MLP's activation after the non-linearity, or the block's output where it has
    no MLP.
    """
    modules = dict(module.named_modules())
    features = [entry for entry in _feature_info(module) if entry["module"] in modules]
    names = list(dict.fromkeys(entry["module"] for entry in features)) or _largest_container(module)
    if len({entry["reduction"] for entry in features}) <= 1:
        return tuple(f"{name}.mlp.act" if f"{name}.mlp.act" in modules else name for name in names)
    # Stages are numbered: `stages.0`, `layer1`; a stem has a name of its own.
    kinds = [re.sub(r"\d+", "#", name) for name in names]
    stage = max(kinds, key=kinds.count)
    return tuple(names[kinds.index(stage) :])


def _feature_info(module: nn.Module) -> list[dict[str, Any]]:
    info = getattr(module, "feature_info", None) or []
    return list(getattr(info, "info", info))


def _largest_container(module: nn.Module) -> list[str]:
    """The children of the direct child that holds most of the parameters in a sequence."""
    sizes = {
        name: sum(parameter.numel() for parameter in child.parameters())
        for name, child in module.named_children()
        if isinstance(child, (nn.Sequential, nn.ModuleList))
    }
    if not sizes:
        return []
    name = max(sizes, key=lambda key: sizes[key])
    return [f"{name}.{child}" for child, _ in module.get_submodule(name).named_children()]


def map_reader(module: nn.Module, height: int, width: int) -> MapReader:
    """How the outputs of a timm module's layers become maps, for inputs of height x width."""
    grid = getattr(getattr(module, "patch_embed", None), "grid_size", None)
    return MapReader(
        height,
        width,
        grid=tuple(grid) if grid else None,
        prefix_tokens=getattr(module, "num_prefix_tokens", 0),
        channels_last=getattr(module, "output_fmt", "NCHW") == "NHWC",
    )


def family(module: nn.Module, architecture: str, tag: str) -> str:
    """The family: the pretraining's where it tells more, else the architecture's without sizes and versions."""
    for pretraining in _PRETRAININGS:
        if pretraining in tag or pretraining in architecture:
            return pretraining
    implementation = re.match(r"(vision_transformer)|[a-z]+", type(module).__module__.rpartition(".")[2])
    base = "vit" if implementation and implementation[1] else implementation[0] if implementation else ""
    words = [re.sub(r"v?\d.*", "", word) for word in architecture.split("_")]
    if any(base and base in word for word in words):
        return base
    return next((word for word in words if word not in {"tf", "test", "legacy", ""}), architecture)


def _aliases(architecture: str, tag: str) -> tuple[str, ...]:
    names = (architecture, architecture.replace("_", " "), f"{architecture}.{tag}" if tag else architecture)
    return tuple(dict.fromkeys(name.lower() for name in names))
