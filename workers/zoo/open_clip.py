"""The source `open_clip:`: any OpenCLIP model, such as `open_clip:RN50/openai`; its image tower is what is mined."""

from __future__ import annotations

import difflib
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.convert import convert_state_dict
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo import open_clip_text, weights
from workers.zoo import timm as timm_source
from workers.zoo.base import Network, Preprocessing
from workers.zoo.locations import Locations
from workers.zoo.maps import MapReader

# The image tower cannot be built without a text tower: this one is small, and is dropped at once.
_SMALL_TEXT = {"context_length": 8, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1}
# Numbers that stand beside the weights in OpenAI's own archives, and in no other file.
_OPENAI_NUMBERS = {"input_resolution", "context_length", "vocab_size"}


class ImageTower(nn.Module):
    """The image tower of a CLIP model, at the path it has there."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor) -> Any:
        """The images' embeddings `[N, D]`, for float32 `[N, 3, H, W]`."""
        output = self.visual(images)
        return output[0] if isinstance(output, tuple) else output  # CoCa's tower gives its tokens too


def load(reference: str, locations: Locations) -> Network:
    """The image tower of `model` or `model/pretraining`.

    Raises:
        InvalidRequest: when there is no such model, no weights are at hand, or they do not fit.
    """
    name, _, tag = reference.partition("/")
    config = open_clip.get_model_config(name) if ":" not in name else None
    if config is None:
        near = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see open_clip.list_models()"
        raise InvalidRequest(f"OpenCLIP has no model '{name}': {hint}", model=name)
    pretrained = open_clip.get_pretrained_cfg(name, tag) if tag else {}
    file = locations.given or _file(name, tag, pretrained, locations)
    state = weights.read_state(file)
    # OpenAI trained with QuickGELU; of its own archives we know that, whichever pretraining was named.
    published = pretrained | ({"quick_gelu": True} if state.keys() >= _OPENAI_NUMBERS else {})
    model = _build(config, published)
    _fit(model, state, file.name, name)
    tower = ImageTower(model.visual)
    height, width = _pair(tower.visual.image_size)
    return Network(
        module=tower,
        layers=_default_layers(tower.visual),
        weights_digest=weights.digest_files([file]),
        family="clip",
        aliases=_aliases(name, tag),
        preprocessing=Preprocessing(
            height,
            width,
            mean=tuple(pretrained.get("mean") or open_clip.OPENAI_DATASET_MEAN),
            std=tuple(pretrained.get("std") or open_clip.OPENAI_DATASET_STD),
            interpolation="bilinear" if pretrained.get("interpolation") == "bilinear" else "bicubic",
        ),
        to_maps=_map_reader(tower.visual, height, width),
        texts=partial(open_clip_text.load, name, file, _quick_gelu(config, published))
        if open_clip_text.is_in(state)
        else None,
        details={"architecture": name, **({"pretraining": tag} if tag else {})},
    )


def _aliases(name: str, tag: str) -> tuple[str, ...]:
    names = ("clip", name, f"clip {name}", f"{name} {tag}".strip())
    return tuple(dict.fromkeys(alias.lower() for alias in names))


def _file(name: str, tag: str, pretrained: dict[str, Any], locations: Locations) -> Path:
    if not pretrained:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name))
        if not tags:
            raise InvalidRequest(f"OpenCLIP publishes no weights of {name}: pass --weights FILE", model=name)
        trouble = f"has no pretraining '{tag}' of {name}" if tag else f"has several pretrainings of {name}"
        raise InvalidRequest(
            f"OpenCLIP {trouble}: write open_clip:{name}/TAG with one of {tags}, or pass --weights FILE", model=name
        )
    url = pretrained.get("url", "")
    published = (url.rpartition("/")[2],)  # such as OpenAI's RN50.pt
    if location := pretrained.get("hf_hub"):
        repository, _, file = location.rpartition("/")
        names = _candidates(file)
        there = locations.in_folders(names, repository) or (url and locations.in_folders(published))
        return there or locations.file(names, of=f"{name}/{tag}", repository=repository)
    return locations.file(published, of=f"{name}/{tag}", url=url)


def _candidates(file: str) -> tuple[str, ...]:
    if not file:
        return HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
    return tuple(dict.fromkeys((str(Path(file).with_suffix(".safetensors")), file)))


def _build(config: dict[str, Any], pretrained: dict[str, Any]) -> nn.Module:
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    return open_clip.CustomTextCLIP(
        embed_dim=config["embed_dim"],
        vision_cfg=vision,
        text_cfg=_SMALL_TEXT,
        quick_gelu=_quick_gelu(config, pretrained),
    )


def _quick_gelu(config: dict[str, Any], pretrained: dict[str, Any]) -> bool:
    return bool(config.get("quick_gelu") or pretrained.get("quick_gelu"))


def _fit(model: nn.Module, state: weights.State, file: str, name: str) -> None:
    wanted = model.visual.state_dict()
    state = weights.strip_prefix(state, [f"visual.{key}" for key in wanted] + list(wanted))
    state = convert_state_dict(model, state)  # of other projects' CLIP checkpoints
    tower = {key: tensor for key, tensor in state.items() if key.startswith("visual.")}
    weights.fit(
        model.visual,
        weights.strip_prefix(tower, wanted) or state,
        file=file,
        architecture=f"the image tower of {name}",
    )


def _default_layers(visual: nn.Module) -> tuple[str, ...]:
    """Stage outputs of a ResNet, the MLPs' activations of a ViT, or what timm's rule says of a timm trunk."""
    if hasattr(visual, "trunk"):
        return tuple(f"visual.trunk.{layer}" for layer in timm_source.default_layers(visual.trunk))
    activations = [name for name, _ in visual.named_modules() if name.endswith(".mlp.gelu")]
    stages = [name for name, child in visual.named_children() if isinstance(child, nn.Sequential)]
    return tuple(f"visual.{name}" for name in activations or stages)


def _map_reader(visual: nn.Module, height: int, width: int) -> MapReader:
    if hasattr(visual, "trunk"):
        return timm_source.map_reader(visual.trunk, height, width)
    transformer = getattr(visual, "transformer", None)
    return MapReader(
        height,
        width,
        grid=getattr(visual, "grid_size", None),
        prefix_tokens=1 if hasattr(visual, "class_embedding") else 0,
        # Older releases of OpenCLIP know no other order than tokens first.
        sequence_first=transformer is not None and not getattr(transformer, "batch_first", False),
    )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
