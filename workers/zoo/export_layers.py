"""Which modules of an exported program are worth recording: those whose output is a complete activation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from torch import fx, nn

from workers.zoo import default_layers
from workers.zoo.default_layers import Kind, Operation
from workers.zoo.maps import MapReader

# ATen operators, in place (`relu_`) or not.
_NONLINEAR = (
    *("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "hardtanh"),
    *("hardswish", "hardsigmoid", "sigmoid", "tanh", "erf", "log_sigmoid", "threshold"),
    *("clamp", "clamp_min", "clamp_max"),
)
_ARITHMETIC = ("add", "sub", "rsub", "mul", "div", "minimum", "maximum")
_KINDS: dict[str, Kind] = {**dict.fromkeys(_NONLINEAR, "nonlinear"), **dict.fromkeys(_ARITHMETIC, "arithmetic")}


def choose(graph: fx.Graph, image: str, module: nn.Module, reader: MapReader, file: str) -> tuple[str, ...]:
    """The default layers (see `default_layers.choose`), each by the outermost module that gives nothing else.

    So the end of a ResNet's stage is `layer1`, not the last ReLU in it.

    Args:
        graph: flat, of the whole program.
        image: the name of its input.
        module: the same program as modules.
        reader: of the modules' outputs.
        file: where it came from, for the error.
    """
    constants = {node.name for node in graph.nodes if node.op == "placeholder"} - {image}
    ends = default_layers.activation_ends(_operations(graph), constants)
    outputs = _module_outputs(graph)
    paths = {outputs[end][-1]: outputs[end] for end in ends if end in outputs}
    seen = default_layers.observe(module, list(paths), reader, file)
    chosen = default_layers.choose(seen, reader.height, reader.width)

    def outermost(layer: str) -> str:
        others = [other for other in chosen if other != layer]
        return next(path for path in paths[layer] if not any(other.startswith(f"{path}.") for other in others))

    return tuple(outermost(layer) for layer in chosen)


def _operations(graph: fx.Graph) -> Iterator[Operation]:
    for node in graph.nodes:
        if node.op == "call_function":
            operator = getattr(node.target, "_schema", None)
            name = operator.name.removeprefix("aten::").removesuffix("_") if operator else ""
            sources = [source.name for source in node.all_input_nodes]
            yield Operation(node.name, [node.name], sources, _KINDS.get(name, "other"))


def _module_outputs(graph: fx.Graph) -> dict[str, list[str]]:
    """Value: the paths of the modules that give it and nothing else, outermost first."""
    modules = {node: [path for path, _ in node.meta.get("nn_module_stack", {}).values()] for node in graph.nodes}
    leaving: dict[str, list[fx.Node]] = defaultdict(list)
    for node, paths in modules.items():
        for path in paths:
            if any(path not in modules[user] for user in node.users):
                leaving[path].append(node)
    outputs = {
        node.name: [path for path in paths if path and leaving[path] == [node]] for node, paths in modules.items()
    }
    return {value: paths for value, paths in outputs.items() if paths}
