"""Default layers of a network that comes as a graph: where its activations end, the last one at each scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any, Literal

import torch
from torch import nn

from rosetta.errors import InvalidRequest
from workers.zoo.base import LayerError
from workers.zoo.maps import MapReader

Kind = Literal["nonlinear", "arithmetic", "constant", "other"]


@dataclass(frozen=True)
class Operation:
    """One node of a graph, in forward order.

    Attributes:
        name: of the node.
        outputs: the values that it makes, the main one first.
        sources: the values that it takes.
        kind: `nonlinear` is a non-linearity of one value, whole or as the gate of one (x * sigmoid(x)),
            `arithmetic` joins values cell by cell, `constant` gives the same for every image.
    """

    name: str
    outputs: Sequence[str]
    sources: Sequence[str]
    kind: Kind


def activation_ends(operations: Iterable[Operation], constants: Iterable[str]) -> tuple[str, ...]:
    """The operations at which a non-linear function of one value, cell by cell, is complete, in forward order.

    That finds an activation however an exporter spelt it: `Relu`, `Sigmoid` and `Mul` for SiLU, or the five
    operators of a GELU; and a residual sum or a squeeze-and-excitation product ends it, since two values meet.

    Args:
        operations: of the graph, in forward order.
        constants: values that do not depend on the network's input, such as weights.
    """
    known = set(constants)
    roots: dict[str, str] = {}  # value: the one value that it is a function of, cell by cell
    nonlinear: dict[str, str] = {}  # value where a non-linearity has happened since its root: its operation
    continued: set[str] = set()
    for operation in operations:
        sources = [source for source in operation.sources if source not in known]
        if operation.kind == "constant" or not sources:
            known.update(operation.outputs)
            continue
        output = operation.outputs[0]
        found = {roots.get(source, source) for source in sources}
        pointwise = operation.kind != "other" and len(found) == 1
        roots[output] = found.pop() if pointwise else output
        if pointwise:
            continued.update(sources)
            if operation.kind == "nonlinear" or any(source in nonlinear for source in sources):
                nonlinear[output] = operation.name
    return tuple(name for value, name in nonlinear.items() if value not in continued)


@dataclass(frozen=True)
class Seen:
    """What one activation gave: maps of this height and width, from tokens or not."""

    height: int
    width: int
    tokens: bool = False


def observe(module: nn.Module, layers: Sequence[str], reader: MapReader, file: str) -> dict[str, Seen]:
    """What those of the layers give that can be read as maps.

    The network runs once, on a batch of two, which also shows that its batch is not fixed.

    Args:
        module: whose input is float32 `[N, 3, H, W]`.
        layers: module paths.
        reader: of their outputs.
        file: where the module came from, for the error.

    Raises:
        InvalidRequest: when it does not run.
    """
    seen: dict[str, Seen] = {}

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            try:
                maps = reader(name, output)
            except LayerError:
                return
            if maps.shape[0] == 2:  # windows of a picture are no images
                seen.setdefault(name, Seen(maps.shape[2], maps.shape[3], tokens=output.ndim == 3))

        return note

    handles = [module.get_submodule(name).register_forward_hook(hook(name)) for name in layers]
    try:
        with torch.inference_mode():
            module(torch.full((2, 3, reader.height, reader.width), 0.5))
    except Exception as error:
        raise InvalidRequest(
            f"{file} does not run on a batch of two {reader.height}x{reader.width} images "
            f"({' '.join(str(error).split())[:160]}): export it with a dynamic batch, or give its size as ?size=",
            file=file,
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return seen


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
