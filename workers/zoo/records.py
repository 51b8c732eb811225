"""NVIDIA's network pickles as inert records: tensors and plain data are read, and no code of the file runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosetta.errors import InvalidRequest
from workers.zoo.unpickler import Record, RefusedError, Unpickler

__all__ = ["Record", "arguments", "attribute", "read_pickle", "state_dict", "tensor"]


def read_pickle(path: Path) -> Any:
    """What the file holds: records, tensors, arrays and plain data, on the CPU.

    Raises:
        InvalidRequest: when there is no such file, it names code (which one), or is broken or cut short.
    """
    if not path.is_file():
        raise InvalidRequest(f"there is no weight file '{path}'", file=str(path))
    try:
        with path.open("rb") as file:
            return Unpickler(file, encoding="latin1").load()  # Python 2 wrote bytes as text
    except RefusedError as error:
        raise InvalidRequest(
            f"'{path.name}' names {error}, which no published network needs, and was not opened: "
            "take the file from where it was published",
            file=path.name,
            refused=str(error),
        ) from error
    except Exception as error:  # a broken or hostile file may raise anything
        raise InvalidRequest(
            f"'{path.name}' is no pickle of a network, is broken or cut short: copy or download it again",
            file=path.name,
        ) from error


def state_dict(record: Record, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a module and of all modules in it, by dotted path, in the file's order.

    Raises:
        InvalidRequest: when the record is no module.
    """
    found: dict[str, Tensor] = {}
    for kind in ("_parameters", "_buffers"):
        for name, value in attribute(record, kind, dict).items():
            if value is not None:
                found[f"{prefix}{name}"] = tensor(value)
    for name, inner in attribute(record, "_modules", dict).items():
        if inner is not None:
            found |= state_dict(inner, f"{prefix}{name}.")
    return found


def arguments(record: Record, names: Sequence[str] = ()) -> dict[str, Any]:
    """What a persistent object was made with, by name.

    Args:
        record: the object.
        names: of its constructor's parameters, in order, for those that were given by position.

    Raises:
        InvalidRequest: when it does not say so.
    """
    by_position = dict(zip(names, attribute(record, "_init_args", tuple), strict=False))
    return by_position | attribute(record, "_init_kwargs", dict)


def attribute(record: Any, name: str, kind: type | tuple[type, ...] = object) -> Any:
    """An attribute of a record, of that type.

    Raises:
        InvalidRequest: when it is no record, has no such attribute, or has another type there.
    """
    what = record.kind if isinstance(record, Record) else type(record).__name__
    state = record.state if isinstance(record, Record) else {}
    if name not in state:
        raise InvalidRequest(
            f"the file's {what} has no {name}: it is another kind of network, or of another version", kind=what
        )
    value = state[name].item() if isinstance(state[name], np.generic) else state[name]
    if not isinstance(value, kind):
        raise InvalidRequest(
            f"the {name} of the file's {what} is a {type(value).__name__}: it is another kind of network", kind=what
        )
    return value


def tensor(value: Any) -> Tensor:
    """A tensor or array of a file as a tensor without gradient.

    Raises:
        InvalidRequest: when it is neither.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray | np.generic):
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    raise InvalidRequest(f"the file has a {type(value).__name__} where a tensor belongs: download it again")
