"""Which layers of an ONNX graph are worth recording: where its activations end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2

from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode

from workers.zoo.onnx_convert import ImageGraph

# Non-linearities, whole or as the gate of one (x * sigmoid(x), x * (1 + erf(x))).
_NONLINEAR = {
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Clip"),
    *("HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Erf"),
}
# What joins values cell by cell.
_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Sum", "Min", "Max"}
_CONSTANT = {"Constant", "ConstantOfShape"}


def activations(graph: ImageGraph) -> tuple[str, ...]:
    """The modules at which a non-linear function of one value, cell by cell, is complete, in forward order.

    That finds an activation however an exporter spelt it: `Relu`, `Sigmoid` and `Mul` for SiLU, or the five
    operators of a GELU; and a residual sum or a squeeze-and-excitation product ends it, since two values meet.
    """
    nodes = OnnxGraph(graph.proto.graph).nodes
    constants = set(OnnxGraph(graph.proto.graph).initializers) | {""}
    roots: dict[str, str] = {}  # value: the one value that it is a function of, cell by cell
    nonlinear: dict[str, bool] = {}
    for node in nodes.values():
        if node.operation_type in _CONSTANT or set(node.input_values) <= constants:
            constants.update(node.output_values)
            continue
        output = node.output_values[0]
        sources = _sources(node, constants)
        found = {roots.get(source, source) for source in sources}
        pointwise = node.operation_type in _NONLINEAR | _ARITHMETIC and len(found) == 1
        roots[output] = found.pop() if pointwise else output
        nonlinear[output] = pointwise and (
            node.operation_type in _NONLINEAR or any(nonlinear.get(source, False) for source in sources)
        )
    continued = {
        source
        for node in nodes.values()
        for source in _sources(node, constants)
        if node.output_values[0] in roots and roots[node.output_values[0]] == roots.get(source, source)
    }
    return tuple(
        name
        for name, node in nodes.items()
        if nonlinear.get(node.output_values[0], False) and node.output_values[0] not in continued
    )


def _sources(node: OnnxNode, constants: set[str]) -> list[str]:
    return [value for value in node.input_values if value not in constants]


@dataclass(frozen=True)
class Seen:
    """What one activation gave: maps of this height and width, from tokens or not."""

    height: int
    width: int
    tokens: bool = False


def choose(seen: Mapping[str, Seen], height: int, width: int) -> tuple[str, ...]:
    """The default layers among activations: of maps the last one at each scale, of tokens all.

    A scale is a halving of the input, to the nearest: unpadded convolutions lose a cell or two within it.

    Args:
        seen: each activation's output, in forward order.
        height: of the input, pixels.
        width: of the input, pixels.

    Returns:
        Their names in forward order. Vectors and 1x1 maps (classifiers, gates of whole channels) only where there
        is nothing else.
    """
    maps = {name: one for name, one in seen.items() if not one.tokens and one.height * one.width > 1}
    last = {round(log2(height * width / (one.height * one.width)) / 2): name for name, one in maps.items()}
    chosen = {name for name, one in seen.items() if one.tokens} | set(last.values()) or set(seen)
    return tuple(name for name in seen if name in chosen)
