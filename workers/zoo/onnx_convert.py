"""ONNX files as PyTorch modules: read safely, brought to an opset that onnx2torch knows, converted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import defs, external_data_helper, inliner, version_converter
from onnx2torch import convert
from onnx2torch.node_converters import get_converter
from torch import Tensor, fx

from rosetta.errors import InvalidRequest

# The newest opset whose operators onnx2torch converts.
_OPSET = 17
# A function may be written in terms of functions: no more levels than this.
_INLINE_LEVELS = 4


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
        proto=_convertible(proto, opset, file.name),
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


def _convertible(proto: onnx.ModelProto, opset: int, name: str) -> onnx.ModelProto:
    _speakable_names(proto)
    proto = _inline(proto, opset)
    if opset > _OPSET:
        proto = _lower(proto, name)
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    unknown = {
        f"{node.op_type} (opset {versions.get(node.domain, 0)})"
        for node in proto.graph.node
        if not _has_converter(node, versions.get(node.domain, 0))
    }
    if unknown:
        raise _not_convertible(name, unknown)
    return proto


def _not_convertible(name: str, operators: set[str]) -> InvalidRequest:
    listed = ", ".join(sorted(operators))
    return InvalidRequest(
        f"{name} uses {listed}, which onnx2torch cannot convert: export it at opset {_OPSET} or lower",
        file=name,
        operators=sorted(operators),
    )


def _speakable_names(proto: onnx.ModelProto) -> None:
    """Takes from node names, which become module paths, what an address cannot hold."""
    for node in proto.graph.node:
        node.name = "_".join(node.name.replace(":", " ").split())


def _has_converter(node: onnx.NodeProto, version: int) -> bool:
    try:
        get_converter(domain=node.domain, operation_type=node.op_type, version=version)
    except NotImplementedError:
        return False
    return True


def _inline(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model with its functions written out, and those of the standard that have no converter (Gelu, Mish)."""
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    for _ in range(_INLINE_LEVELS):
        unknown = {
            node.op_type
            for node in proto.graph.node
            if node.domain in {"", "ai.onnx"}
            and not _has_converter(node, min(opset, _OPSET))
            and _is_function(node.op_type, opset)
        }
        if not unknown:
            break
        before = {(node.op_type, *node.output) for node in proto.graph.node}
        proto = inliner.inline_selected_functions(
            proto, [("", name) for name in sorted(unknown)], exclude=False, inline_schema_functions=True
        )
        for node in proto.graph.node:
            if (node.op_type, *node.output) not in before:
                # Inlined nodes have no name; the last one of a function still has the function's output.
                node.name = node.output[0]
        _speakable_names(proto)
    return proto


def _is_function(operator: str, opset: int) -> bool:
    if not defs.has(operator):
        return False
    try:
        schema = defs.get_schema(operator, opset)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _lower(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model at the newest opset that can be converted.

    A newer label is all that differs, most often: then only the label changes.
    """
    if newer := {node.op_type for node in proto.graph.node if not _same_in_older(node)}:
        try:
            return version_converter.convert_version(proto, _OPSET)
        except (RuntimeError, ValueError) as error:
            raise _not_convertible(name, newer) from error
    lowered = onnx.ModelProto()
    lowered.CopyFrom(proto)
    for entry in lowered.opset_import:
        if entry.domain in {"", "ai.onnx"}:
            entry.version = _OPSET
    return lowered


def _same_in_older(node: onnx.NodeProto) -> bool:
    """Whether the node, as it is written, is valid and means the same at the older opset."""
    if node.domain not in {"", "ai.onnx"}:
        return True
    try:
        schema = defs.get_schema(node.op_type, _OPSET)
    except defs.SchemaError:
        return False
    return len(node.input) <= schema.max_input and {attribute.name for attribute in node.attribute} <= set(
        schema.attributes
    )


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

    def as_graph_input(_module: Any, arguments: tuple[Tensor, ...]) -> Tensor:
        images = arguments[0]
        if graph.channels == 1:
            images = images.mean(dim=1, keepdim=True)
        return images.permute(0, 2, 3, 1).contiguous() if graph.channels_last else images

    if graph.channels == 1 or graph.channels_last:
        module.register_forward_pre_hook(as_graph_input)
    return module.eval()
