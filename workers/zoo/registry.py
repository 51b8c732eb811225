"""Source URIs to networks: `scheme:reference`, one lazily imported file a scheme."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from rosetta.errors import InvalidRequest, RosettaError
from workers.zoo.locations import Locations

if TYPE_CHECKING:
    from workers.zoo.base import ModelSource, Network

# A package adds a scheme of its own by an entry point in this group, named as the scheme (docs/plugins.md).
GROUP = "rosetta.sources"
# The scheme and the module that follows `ModelSource`: it has `load(reference, locations)`.
SOURCES = {
    "biggan": "workers.zoo.biggan",
    "demo": "workers.zoo.demo",
    "diffusers": "workers.zoo.diffusers",
    "export": "workers.zoo.export",
    "hub": "workers.zoo.torch_hub",
    "onnx": "workers.zoo.onnx_graph",
    "open_clip": "workers.zoo.open_clip",
    "recording": "workers.zoo.recording",
    "stylegan": "workers.zoo.stylegan",
    "timm": "workers.zoo.timm",
}


def load(source: str, weights: Path | None = None, folders: Sequence[Path] = ()) -> Network:
    """The network that a source URI names, in evaluation mode, in float32, without gradients.

    Its `layers` are empty when the source's rule finds none: then the caller has to name some.

    Example: `load("timm:resnet50.a1_in1k", Path("resnet50.safetensors"))`.

    Args:
        source: `scheme:reference`; a path in it was resolved inside the weights folders.
        weights: a weight file that overrides the source's own.
        folders: where else weight files may lie, before the hub's cache.

    Raises:
        InvalidRequest: when the scheme is unknown, or for the source's own reasons (see `ModelSource.load`).
    """
    scheme, separator, reference = source.partition(":")
    found = _source(scheme) if separator else None
    if found is None:
        known = ", ".join(f"{name}:" for name in (*SOURCES, *_plugins()))
        raise InvalidRequest(f"'{source}' names no source of models: begin it with one of {known}", source=source)
    locations = Locations(weights, tuple(folders))
    network = found.load(reference, locations) if scheme in SOURCES else _ask(found, scheme, reference, locations)
    network.module.eval().requires_grad_(False).float()
    return network


def _source(scheme: str) -> ModelSource | None:
    """What loads a scheme's networks; our own schemes cannot be taken by a plugin. None: an unknown scheme.

    Raises:
        InvalidRequest: when a plugin is broken.
    """
    if scheme in SOURCES:
        source: ModelSource = import_module(SOURCES[scheme])  # type: ignore[assignment]
        return source
    plugin = _plugins().get(scheme)
    if plugin is None:
        return None
    try:
        loaded = plugin.load()
    except Exception as error:  # a stranger's code may raise anything
        raise InvalidRequest(
            f"the plugin of '{scheme}:' ({plugin.value}) cannot be imported ({_in_a_line(error)}): "
            "update or uninstall its package",
            scheme=scheme,
        ) from error
    if not callable(getattr(loaded, "load", None)):
        raise InvalidRequest(
            f"the plugin of '{scheme}:' ({plugin.value}) has no load(reference, locations): update its package",
            scheme=scheme,
        )
    found: ModelSource = loaded
    return found


def _ask(plugin: ModelSource, scheme: str, reference: str, locations: Locations) -> Network:
    """What a plugin loads.

    Raises:
        InvalidRequest: for the plugin's own reasons, or when it fails or returns something else.
    """
    from workers.zoo.base import Network

    try:
        network = plugin.load(reference, locations)
        if not isinstance(network, Network):
            raise TypeError(f"it returned a {type(network).__name__}, not a Network")
    except RosettaError:
        raise
    except Exception as error:
        raise InvalidRequest(
            f"the plugin of '{scheme}:' failed on '{reference}' ({_in_a_line(error)}): tell its author",
            scheme=scheme,
        ) from error
    return network


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@cache
def _plugins() -> dict[str, EntryPoint]:
    """The installed plugins by scheme."""
    return {point.name: point for point in entry_points(group=GROUP)}
