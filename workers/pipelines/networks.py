"""Networks that this process has loaded: a job that follows another does not load them again."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from pathlib import Path

import torch

from rosetta.errors import InvalidRequest
from service.settings import Settings
from service.sources import resolve
from workers.zoo import registry
from workers.zoo.base import Network, TextTower

_Key = tuple[str, str | None, tuple[tuple[int, int], ...]]

# Networks of the last jobs, the most recently used last.
_loaded: OrderedDict[_Key, Network] = OrderedDict()
# The text tower that was asked for last, by its network's weights: people search for one text after the other.
_tower: dict[tuple[str, torch.device], TextTower] = {}


def load(settings: Settings, source: str, weights: str | None, digest: str | None = None) -> Network:
    """The network of a source, loaded or remembered.

    What is remembered takes at most a quarter of the memory budget, on whatever device it was moved to.

    Args:
        settings: where weights lie, and the memory budget.
        source: a source URI, as a request gave it.
        weights: a weights reference, as a request gave it.
        digest: what the weights must be, as they were when the model was registered.

    Raises:
        InvalidRequest: when it cannot be loaded (see `registry.load`), or its weights are others now.
    """
    uri, file = resolve(settings, source, weights)
    key = (uri, weights, _stamps(uri, file))
    network = _loaded.pop(key, None) or registry.load(uri, file, settings.weights_dirs)
    if digest is not None and network.weights_digest != digest:
        raise InvalidRequest(
            f"the weights of {source} are others than when it was registered "
            f"({network.weights_digest[:12]}, not {digest[:12]}): put the old file back, or register it anew",
            source=source,
        )
    _loaded[key] = network
    _forget(settings.memory_budget // 4)
    return network


def text_tower(network: Network, device: torch.device) -> TextTower:
    """The text tower of an image-text model, loaded or remembered.

    Raises:
        InvalidRequest: when it is none, or the tower or its tokenizer is not at hand.
    """
    if network.texts is None:
        raise InvalidRequest("this model has no text tower in its weights: register one that has, with both towers")
    key = (network.weights_digest, device)
    if key not in _tower:
        _tower.clear()
        _tower[key] = network.texts(device)
    return _tower[key]


def forget_all() -> None:
    """Lets go of every network, when memory has run out."""
    _loaded.clear()
    _tower.clear()


def _stamps(uri: str, file: Path | None) -> tuple[tuple[int, int], ...]:
    """Size and time of the files, those inside a folder too, so that one that was replaced is loaded again."""
    paths = [Path(uri.partition(":")[2].partition("?")[0]), *([file] if file else [])]
    paths = [path for path in paths if path.is_absolute()]
    paths += [inner for path in paths if path.is_dir() for inner in sorted(path.rglob("*"))]
    stats = [path.stat() for path in paths]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


def _forget(budget: int) -> None:
    sizes = {key: _bytes(network) for key, network in _loaded.items()}
    excess = sum(sizes.values()) - budget
    for key in list(_loaded)[:-1]:  # the oldest first, never the one just asked for
        if excess <= 0:
            return
        excess -= sizes[key]
        del _loaded[key]


def _bytes(network: Network) -> int:
    tensors = chain(network.module.parameters(), network.module.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
