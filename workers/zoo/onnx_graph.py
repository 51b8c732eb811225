"""The source `onnx:`: any image model in an ONNX file, such as `onnx:model.onnx?size=224&mean=0.5&std=0.5`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import fx

from workers.zoo import default_layers, onnx_convert, onnx_layers, options, weights
from workers.zoo.base import Network
from workers.zoo.locations import Locations
from workers.zoo.maps import MapReader


def load(reference: str, locations: Locations) -> Network:
    """The network in an ONNX file.

    Args:
        reference: `FILE?size=224&mean=0.485,0.456,0.406&std=0.229,0.224,0.225&interpolation=bicubic`, each option
            optional: the size is the graph's own, else 224 (or HEIGHTxWIDTH); the mean 0 and the deviation 1,
            which shows the network images in [0, 1].
        locations: gives the file, when it is not in the reference.

    Raises:
        InvalidRequest: when the file is broken, takes something else than one image, or has an operator that
            cannot be converted; when an option is unknown or malformed.
    """
    name, asked = options.split(reference, "onnx", options.IMAGE_OPTIONS)
    return read(locations.given or Path(name), asked)


def read(file: Path, asked: Mapping[str, str]) -> Network:
    """The network in a file, shown images by these options (see `load`)."""
    graph = onnx_convert.read(file)
    height, width = options.image_size(asked, (graph.height, graph.width), graph.name)
    reader = MapReader(height, width, prefix_tokens=None)
    module = onnx_convert.to_module(graph)
    return Network(
        module=module,
        layers=_default_layers(graph, module, reader),
        weights_digest=weights.digest_files(graph.files),
        family="onnx",
        aliases=(file.stem.lower(),),
        preprocessing=options.preprocessing(asked, height, width),
        to_maps=reader,
        details={"producer": graph.producer, "opset": graph.opset},
    )


def _default_layers(graph: onnx_convert.ImageGraph, module: fx.GraphModule, reader: MapReader) -> tuple[str, ...]:
    """The last activation at each scale, and every activation on tokens (see `default_layers.choose`)."""
    seen = default_layers.observe(module, onnx_layers.activations(graph), reader, graph.name)
    return default_layers.choose(seen, reader.height, reader.width)
