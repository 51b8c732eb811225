"""Networks that someone published on the hub in timm's format, `timm:hf-hub:owner/name`: their `config.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from timm.models import PretrainedCfg

from rosetta.errors import InvalidRequest
from workers.zoo.locations import Locations

PREFIX = "hf-hub:"
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
# What the weights want of their images, and how their classifier is called; no place that weights could come from.
_DESCRIPTION = (
    *("input_size", "mean", "std", "interpolation", "fixed_input_size"),
    *("num_classes", "first_conv", "classifier", "tag", "license"),
)
# Arguments that fetch weights, or change what the module is.
_REFUSED_ARGUMENTS = {
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
    *("features_only", "pruned", "scriptable", "exportable", "no_jit"),
}
_WORD = re.compile(r"\w{1,40}", re.ASCII)


@dataclass(frozen=True)
class Published:
    """A network on the hub.

    Attributes:
        repository: `owner/name`.
        architecture: as timm knows it.
        title: the same with the pretraining's tag, where there is one.
        arguments: of `timm.create_model`.
    """

    repository: str
    architecture: str
    title: str
    arguments: dict[str, Any]


def read(name: str, locations: Locations) -> Published:
    """The network that `hf-hub:owner/name` names, by the `config.json` beside its weights.

    Raises:
        InvalidRequest: when the name is none, the configuration is nowhere or is not timm's.
    """
    repository = name.removeprefix(PREFIX)
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidRequest(f"'{repository}' is no repository: write timm:hf-hub:OWNER/NAME", repository=repository)
    # `--weights` names the weights, not their configuration.
    file = replace(locations, given=None).file(("config.json",), of=name, repository=repository)
    try:
        config = json.loads(file.read_bytes())
        description = _description(config)
        arguments = {key: value for key, value in config.get("model_args", {}).items() if value is not None}
        architecture = str(config["architecture"])
        title = f"{architecture}.{description.tag}" if description.tag else architecture
        published = Published(repository, architecture, title, {**arguments, "pretrained_cfg": description})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidRequest(
            f"the config.json of {repository} is not one of timm: it has no proper architecture and pretrained_cfg",
            repository=repository,
        ) from error
    for key, value in arguments.items():
        if key in _REFUSED_ARGUMENTS or not _is_plain(value):
            raise InvalidRequest(
                f"the config.json of {repository} gives its architecture the argument {str(key)[:40]!r}, which is no "
                "number or word: pass its weights to the architecture, as timm:ARCHITECTURE --weights FILE",
                repository=repository,
            )
    return published


def _description(config: Mapping[str, Any]) -> PretrainedCfg:
    described = {**config.get("pretrained_cfg", config)}
    if "num_classes" in config:
        described["num_classes"] = config["num_classes"]
    description = PretrainedCfg(**{key: described[key] for key in _DESCRIPTION if key in described})
    sides, colours = map(int, description.input_size), map(float, (*description.mean, *description.std))
    if len(list(sides)) != 3 or len(list(colours)) != 6:
        raise ValueError("not of RGB images")
    return description


def _is_plain(value: Any) -> bool:
    """Numbers, lists of them, and words such as the name of an activation; other text could name a file."""
    if isinstance(value, list):
        return all(isinstance(entry, (bool, int, float)) for entry in value)
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and bool(_WORD.fullmatch(value)))
