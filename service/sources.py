"""Source URIs and weights references of requests, and the files they lead to."""

from __future__ import annotations

import re
from pathlib import Path

from rosetta.errors import InvalidRequest
from service.settings import Settings
from service.uploads import resolve_weights

# Sources whose reference is the path of a file, not a name in a library or a hub.
FILE_SCHEMES = frozenset({"export", "onnx", "recording", "stylegan"})
_SOURCE = re.compile(r"(?P<scheme>[a-z][a-z0-9_+.-]*):(?P<reference>\S.*)")


def resolve(settings: Settings, source: str, weights: str | None = None) -> tuple[str, Path | None]:
    """What `workers.zoo.registry.load` takes: a source URI and a weight file, inside the weights folders.

    Raises:
        InvalidRequest: when the source is none, or a file is missing or outside the weights folders.
    """
    match = _SOURCE.fullmatch(source)
    if not match:
        raise InvalidRequest(
            f"'{source}' is not a source: write SCHEME:REFERENCE, such as timm:resnet50.a1_in1k",
            source=source,
        )
    if match["scheme"] in FILE_SCHEMES:
        path, mark, options = match["reference"].partition("?")  # such as onnx:FILE?size=224
        if path:
            file = resolve_weights(settings, path, folders=match["scheme"] == "recording")
            source = f"{match['scheme']}:{file}{mark}{options}"
    return source, None if weights is None else resolve_weights(settings, weights)
