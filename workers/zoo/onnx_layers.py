"""Which modules of an ONNX graph end an activation."""

from __future__ import annotations

from collections.abc import Iterator

from onnx2torch.onnx_graph import OnnxGraph

from workers.zoo.default_layers import Kind, Operation, activation_ends
from workers.zoo.onnx_convert import ImageGraph

# Non-linearities, whole or as the gate of one (x * sigmoid(x), x * (1 + erf(x))).
_NONLINEAR = (
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Clip"),
    *("HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Erf"),
)
# What joins values cell by cell.
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Sum", "Min", "Max")
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(_NONLINEAR, "nonlinear"),
    **dict.fromkeys(_ARITHMETIC, "arithmetic"),
    **dict.fromkeys(("Constant", "ConstantOfShape"), "constant"),
}


def activations(graph: ImageGraph) -> tuple[str, ...]:
    """The modules at which an activation is complete, in forward order (see `activation_ends`)."""
    proto = OnnxGraph(graph.proto.graph)
    return activation_ends(_operations(proto), {"", *proto.initializers})


def _operations(proto: OnnxGraph) -> Iterator[Operation]:
    for name, node in proto.nodes.items():
        yield Operation(name, node.output_values, node.input_values, _KINDS.get(node.operation_type, "other"))
