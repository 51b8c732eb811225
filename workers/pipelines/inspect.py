"""The job `inspect`: loads a network and says of every module what it gives; nothing is registered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from rosetta.results import Module
from workers.pipelines import networks
from workers.pipelines.context import Context
from workers.pipelines.layers import choose, maps_of_one, trial_inputs
from workers.zoo.base import LayerError, Network
from workers.zoo.maps import describe

# Channels, height and width, or why there are none.
_Reading = tuple[int, int, int] | str


def run(context: Context) -> None:
    """Inspects the network of the source that the job's parameters name.

    Raises:
        InvalidRequest: when it cannot be loaded, or a glob fits none of its modules.
    """
    wanted = context.parameters
    source, globs = wanted["source"], wanted["layers"]
    context.report(0, 1, f"loading {source}")
    network = networks.load(context.settings, source, wanted["weights"])
    layers = choose(network.module, globs, source) if globs else network.layers
    context.report(0, 1, "one forward pass, to learn what every module gives")
    modules = inspect(network, layers)
    recorded = [module.channels for module in modules if module.chosen and module.channels is not None]
    result = {"layers": len(recorded), "units": sum(recorded), "modules": [asdict(module) for module in modules]}
    with context.publish(result):
        pass


def inspect(network: Network, layers: Sequence[str]) -> list[Module]:
    """Every module but the network itself, in the tree's order, and what it gives in one trial pass.

    Args:
        network: whose module; its outputs are looked at while the pass runs, and not kept.
        layers: the module paths that count as chosen.
    """
    named = [(path, module) for path, module in network.module.named_modules() if path]
    calls: Counter[str] = Counter()
    readings: dict[str, _Reading] = {}

    def watch(path: str, module: nn.Module) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            calls[path] += 1
            if path not in readings:  # a later call is not recorded
                readings[path] = _read(network, path, output)

        return module.register_forward_hook(hook)

    with torch.inference_mode(), ExitStack() as hooks:
        for path, module in named:
            hooks.enter_context(watch(path, module))
        network.module(*trial_inputs(network))
    chosen = set(layers)
    return [
        _module(path, module, readings.get(path, "does not run"), calls[path], chosen=path in chosen)
        for path, module in named
    ]


def _read(network: Network, path: str, output: Any) -> _Reading:
    try:
        maps = maps_of_one(network, path, output)
        channels, height, width = maps.shape[1:]
        return (channels, height, width) if bool(maps.isfinite().all()) else "NaN or infinity"
    except LayerError:
        return describe(output)
    except Exception as error:  # noqa: BLE001 - a source's own code; the other modules are still worth reading
        return " ".join(f"{type(error).__name__}: {error}".split())


def _module(path: str, module: nn.Module, reading: _Reading, calls: int, *, chosen: bool) -> Module:
    channels, height, width = (None, None, None) if isinstance(reading, str) else reading
    why_not = reading if isinstance(reading, str) else ""
    return Module(path, type(module).__name__, channels, height, width, calls, chosen, why_not)
