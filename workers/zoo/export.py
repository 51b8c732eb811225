"""The source `export:`: any image model in a file of `torch.export.save`, such as `export:model.pt2?size=224`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._export.serde import schema
from torch._export.serde.serialize import ExportedProgramDeserializer
from torch.export import ExportedProgram, unflatten
from torch.fx.node import map_aggregate

from rosetta.errors import InvalidRequest
from workers.zoo import export_archive, export_layers, export_program, options, weights
from workers.zoo.base import Network
from workers.zoo.locations import Locations
from workers.zoo.maps import MapReader

_UNBOUNDED = 2**31


def load(reference: str, locations: Locations) -> Network:
    """The network in a file of `torch.export.save`; its paths are those of the module that was exported.

    Args:
        reference: `FILE?size=224&mean=0.485,0.456,0.406&std=0.229,0.224,0.225&interpolation=bicubic`, each option
            optional: the size is the program's own, else 224 (or HEIGHTxWIDTH); the mean 0 and the deviation 1,
            which shows the network images in [0, 1].
        locations: gives the file, when it is not in the reference.

    Raises:
        InvalidRequest: when the file is broken or could run code, takes something else than a batch of images, or
            an option is unknown or malformed.
    """
    name, asked = options.split(reference, "export", options.IMAGE_OPTIONS)
    file = locations.given or Path(name)
    archive = export_archive.read(file)
    program = export_program.checked(archive.program, file.name)
    try:
        image = _image(program, file.name)
        exported = ExportedProgramDeserializer().deserialize(program, dict(archive.state), dict(archive.constants))
        module = _as_modules(exported, image)
    except InvalidRequest:
        raise
    except Exception as error:  # an inconsistent or newer program may raise anything
        raise _unreadable(file.name, error) from error
    height, width = options.image_size(asked, (image.height, image.width), file.name)
    reader = MapReader(height, width, prefix_tokens=None)
    return Network(
        module=module,
        layers=export_layers.choose(exported.graph, image.name, module, reader, file.name),
        weights_digest=weights.digest_files([file]),
        family="export",
        aliases=(file.stem.lower(),),
        preprocessing=options.preprocessing(asked, height, width),
        to_maps=reader,
        details={"schema": f"{program.schema_version.major}.{program.schema_version.minor}"},
    )


@dataclass(frozen=True)
class _Image:
    """The input of a program: its name in the graph; height and width where they are fixed; 1 or 3 channels."""

    name: str
    height: int | None
    width: int | None
    channels: int


def _image(program: schema.ExportedProgram, file: str) -> _Image:
    """The only input of a program.

    Raises:
        InvalidRequest: when that is no batch of images, its batch is fixed, or a pass changes more than its outputs.
    """
    signature, values = program.graph_module.signature, program.graph_module.graph.tensor_values
    if changed := [spec.type for spec in signature.output_specs if spec.type != "user_output"]:
        raise InvalidRequest(
            f"{file} has a {changed[0].replace('_', ' ')} in its forward pass, which must not change the model: "
            "call model.eval() before torch.export.export",
            file=file,
        )
    inputs = [spec for spec in signature.input_specs if spec.type not in {"parameter", "buffer"}]
    names = [spec.user_input.arg.as_tensor.name for spec in inputs if _is_tensor(spec)]
    if len(inputs) != 1 or len(names) != 1 or not _is_image(values[names[0]]):
        came = ", ".join(f"{name} {_describe(values[name])}" for name in names) or "none"
        raise InvalidRequest(f"{file} must have one input, a float32 image [N, 3, H, W]; it has {came}", file=file)
    batch, *sides = values[names[0]].sizes
    _check_batch(batch, names[0], program, file)
    channels, height, width = (side.as_int if side.type == "as_int" else None for side in sides)
    return _Image(names[0], height, width, channels or 3)


def _is_tensor(spec: schema.InputSpec) -> bool:
    return spec.type == "user_input" and spec.user_input.arg.type == "as_tensor"


def _is_image(meta: schema.TensorMeta) -> bool:
    if meta.dtype != schema.ScalarType.FLOAT or len(meta.sizes) != 4:
        return False
    channels = meta.sizes[1]
    return channels.type != "as_int" or channels.as_int in {1, 3}


def _describe(meta: schema.TensorMeta) -> str:
    sides = ", ".join(str(side.as_int) if side.type == "as_int" else "?" for side in meta.sizes)
    return f"{schema.ScalarType(meta.dtype).name.lower()} [{sides}]"


def _check_batch(batch: schema.SymInt, name: str, program: schema.ExportedProgram, file: str) -> None:
    mend = (
        "export it with dynamic_shapes={" + f'"{name}"' + ': {0: torch.export.Dim("batch")}}, whose batch has no bounds'
    )
    if batch.type == "as_int":
        raise InvalidRequest(f"{file} takes batches of {batch.as_int} images only: {mend}", file=file)
    symbol = re.search(r"[a-z]+\d+", batch.as_expr.expr_str)
    bounds = program.range_constraints.get(symbol[0]) if symbol else None
    low, high = (bounds.min_val or 0, bounds.max_val or _UNBOUNDED) if bounds else (0, _UNBOUNDED)
    # PyTorch writes 2 where it knows nothing of the batch, and runs one image all the same.
    if low > 2 or high < _UNBOUNDED:
        raise InvalidRequest(f"{file} takes batches of {low} to {high} images only: {mend}", file=file)


def _as_modules(exported: ExportedProgram, image: _Image) -> nn.Module:
    """The program as the modules that it came from; it runs where its input is."""
    module = unflatten(exported)
    graphs = [graph for child in module.modules() if isinstance(graph := getattr(child, "graph", None), fx.Graph)]
    device = torch.device("cpu")

    def as_program_input(_module: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
        nonlocal device
        images = arguments[0]
        if images.device != device:
            device = images.device
            _move(graphs, device)
        return images.mean(dim=1, keepdim=True) if image.channels == 1 else images

    module.register_forward_pre_hook(as_program_input)
    return module


def _move(graphs: Iterable[fx.Graph], device: torch.device) -> None:
    """Writes another device where calls name one, such as `arange(14, device="cpu")`."""

    def moved(argument: Any) -> Any:
        return device if isinstance(argument, torch.device) else argument

    for graph in graphs:
        for node in graph.nodes:
            node.args = map_aggregate(node.args, moved)
            node.kwargs = map_aggregate(node.kwargs, moved)


def _unreadable(file: str, error: Exception) -> InvalidRequest:
    reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    return InvalidRequest(
        f"PyTorch {torch.__version__} cannot rebuild the program in '{file}' ({reason.strip()[:160]}): "
        "export it again with this version",
        file=file,
    )
