"""Source URIs to networks: `scheme:reference`, one lazily imported file a scheme."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rosetta.errors import InvalidRequest

if TYPE_CHECKING:
    from workers.zoo.base import Network

# The scheme and the module that follows `ModelSource`: it has `load(reference, weights)`.
SOURCES = {
    "demo": "workers.zoo.demo",
    "onnx": "workers.zoo.onnx_graph",
    "open_clip": "workers.zoo.open_clip",
    "timm": "workers.zoo.timm",
}


def load(source: str, weights: Path | None = None) -> Network:
    """The network that a source URI names, in evaluation mode, in float32, without gradients.

    Its `layers` are empty when the source's rule finds none: then the caller has to name some.

    Example: `load("timm:resnet50.a1_in1k", Path("resnet50.safetensors"))`.

    Args:
        source: `scheme:reference`; a path in it was resolved inside the weights folders.
        weights: a weight file that overrides the source's own; None: the hub's cache.

    Raises:
        InvalidRequest: when the scheme is unknown, or for the source's own reasons (see `ModelSource.load`).
    """
    scheme, separator, reference = source.partition(":")
    if not separator or scheme not in SOURCES:
        known = ", ".join(f"{name}:" for name in SOURCES)
        raise InvalidRequest(f"'{source}' names no source of models: begin it with one of {known}", source=source)
    network: Network = import_module(SOURCES[scheme]).load(reference, weights)
    network.module.eval().requires_grad_(False).float()
    return network
