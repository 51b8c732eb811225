"""ONNX graphs in operators that onnx2torch knows: functions written out, newer opsets lowered, constants folded."""

from __future__ import annotations

import onnx
from onnx import defs, inliner, version_converter
from onnx2torch.node_converters import get_converter

from rosetta.errors import InvalidRequest

# The newest opset whose operators onnx2torch converts.
_OPSET = 17
# A function may be written in terms of functions: no more levels than this.
_INLINE_LEVELS = 4


def convertible(proto: onnx.ModelProto, opset: int, name: str) -> onnx.ModelProto:
    """The model in operators that onnx2torch converts, at an opset that it knows.

    Raises:
        InvalidRequest: when an operator is none of them; names it.
    """
    _speakable_names(proto)
    proto = _inline(proto, opset)
    if opset > _OPSET:
        proto = _lower(proto, name)
    _fold(proto)
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    unknown = {
        f"{node.op_type} (opset {versions.get(node.domain, 0)})"
        for node in proto.graph.node
        if not _has_converter(node, versions.get(node.domain, 0))
    }
    if unknown:
        raise _notconvertible(name, unknown)
    return proto


def _notconvertible(name: str, operators: set[str]) -> InvalidRequest:
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


def _fold(proto: onnx.ModelProto) -> None:
    """Turns constants and copies of weights into weights: converters look for them nowhere else.

    An exporter writes two equal weights as one, and a copy of it.
    """
    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        value = None
        if node.op_type == "Identity" and node.input[0] in weights:
            value = weights[node.input[0]]
        elif node.op_type == "Constant" and node.attribute[0].name == "value":
            value = node.attribute[0].t
        if value is None or node.output[0] in outputs:
            kept.append(node)
            continue
        tensor = graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        weights[tensor.name] = tensor
    del graph.node[:]
    graph.node.extend(kept)


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
            raise _notconvertible(name, newer) from error
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
