"""ONNX files as PyTorch modules: read safely, and converted by onnx2torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import external_data_helper
from onnx2torch import convert
from onnx2torch.node_converters.slice import OnnxSlice
from torch import Tensor, fx, nn

from rosetta.errors import InvalidRequest
from workers.zoo import onnx_lower


@dataclass(frozen=True)
class ImageGraph:
    """An ONNX model of one image input.

    Attributes:
        name: of the file.
        files: the file and those that hold its external data.
        height: of the input, pixels; None: any.
        width: of the input, pixels; None: any.
        channels: of the input, 1 or 3.
        channels_last: the input is `[N, H, W, C]`.
        opset: as it came.
    """

    name: str
    proto: onnx.ModelProto
    files: tuple[Path, ...]
    height: int | None
    width: int | None
    channels: int
    channels_last: bool
    opset: int
    producer: str


def read(file: Path) -> ImageGraph:
    """The model in a file, in operators that can be converted.

    Raises:
        InvalidRequest: when the file is missing or broken, its input is not one image, or an operator is unknown.
    """
    proto, files = _load(file)
    opset = next((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    shape = _image_input(proto, file.name)
    channels_last = shape[1] not in {1, 3} and shape[3] in {1, 3}
    sides = shape[1:3] if channels_last else shape[2:]
    channels = shape[3] if channels_last else shape[1] or 3
    if channels not in {1, 3}:
        raise InvalidRequest(f"{file.name} takes images of {channels} channels: only 1 or 3 can be shown to it")
    return ImageGraph(
        name=file.name,
        proto=onnx_lower.convertible(proto, opset, file.name),
        files=files,
        height=sides[0],
        width=sides[1],
        channels=channels or 3,
        channels_last=channels_last,
        opset=opset,
        producer=" ".join(filter(None, (proto.producer_name, proto.producer_version))),
    )


def _load(file: Path) -> tuple[onnx.ModelProto, tuple[Path, ...]]:
    if not file.is_file():
        raise InvalidRequest(f"there is no ONNX file '{file}'", file=str(file))
    try:
        proto = onnx.load(file, load_external_data=False)
        if not proto.graph.node:
            raise ValueError("its graph is empty")
    except Exception as error:
        raise InvalidRequest(f"'{file.name}' is no ONNX model, or a broken one", file=file.name) from error
    outside = sorted(
        {
            entry.value
            for tensor in proto.graph.initializer
            if external_data_helper.uses_external_data(tensor)
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
    files = tuple(file.parent / name for name in outside)
    for name, path in zip(outside, files, strict=True):
        # A file name beside the model, nothing that leads elsewhere.
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            raise InvalidRequest(
                f"'{file.name}' keeps its weights in '{name}', which is not beside it: "
                "save it as one file with onnx.save(onnx.load(FILE), NEW)",
                file=file.name,
            )
    external_data_helper.load_external_data_for_model(proto, str(file.parent))
    return proto, (file, *files)


def _image_input(proto: onnx.ModelProto, name: str) -> list[int | None]:
    """The four dimensions of the only input; None where one is not fixed."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    types = [value.type.tensor_type for value in inputs]
    if len(inputs) != 1 or len(types[0].shape.dim) != 4 or types[0].elem_type != onnx.TensorProto.FLOAT:
        came = ", ".join(f"{value.name} {_describe(value)}" for value in inputs) or "none"
        raise InvalidRequest(f"{name} must have one input, a float32 image [N, 3, H, W]; it has {came}", file=name)
    return [dimension.dim_value or None for dimension in types[0].shape.dim]


def _describe(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    shape = ", ".join(str(dimension.dim_value or dimension.dim_param or "?") for dimension in tensor.shape.dim)
    return f"{onnx.TensorProto.DataType.Name(tensor.elem_type).lower()} [{shape}]"


class Slice(nn.Module):
    """ONNX's Slice. onnx2torch's own indexes by a list, which newer PyTorch reads as something else."""

    def forward(
        self,
        input_tensor: Tensor,  # the names are onnx2torch's: it passes some of them by name
        starts: Tensor,
        ends: Tensor,
        axes: Tensor | None = None,
        steps: Tensor | None = None,
    ) -> Tensor:
        """The part of a tensor from `starts` to `ends` along `axes`, each int64 [K]; backwards for a negative step."""
        chosen = axes.tolist() if axes is not None else range(len(starts))
        strides = steps.tolist() if steps is not None else [1] * len(starts)
        index = [slice(None)] * input_tensor.ndim
        for axis, start, end, step in zip(chosen, starts.tolist(), ends.tolist(), strides, strict=True):
            if step < 0:
                input_tensor = input_tensor.flip(axis)
                start, end, step = -start - 1, -end - 1, -step
            index[axis] = slice(start, end, step)
        return input_tensor[tuple(index)]


def to_module(graph: ImageGraph) -> fx.GraphModule:
    """The model as a module whose input is always float32 `[N, 3, H, W]`; its paths are the graph's node names.

    Raises:
        InvalidRequest: when an operator is used in a way that cannot be converted; names it.
    """
    try:
        module = convert(graph.proto)
    except NotImplementedError as error:
        raise InvalidRequest(
            f"{graph.name} uses an operator in a way that onnx2torch cannot convert: "
            f"{' '.join(str(error).split())[:200]}",
            file=graph.name,
        ) from error
    except Exception as error:
        raise InvalidRequest(
            f"{graph.name} cannot be converted by onnx2torch: {' '.join(str(error).split())[:200]}", file=graph.name
        ) from error

    for name, child in module.named_children():
        if isinstance(child, OnnxSlice):
            setattr(module, name, Slice())

    def as_graph_input(_module: Any, arguments: tuple[Tensor, ...]) -> Tensor:
        images = arguments[0]
        if graph.channels == 1:
            images = images.mean(dim=1, keepdim=True)
        return images.permute(0, 2, 3, 1).contiguous() if graph.channels_last else images

    if graph.channels == 1 or graph.channels_last:
        module.register_forward_pre_hook(as_graph_input)
    return module.eval()
