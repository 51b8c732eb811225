"""Weights in a TorchScript archive, such as CLIP's own `RN50.pt`: its tensors are read, its code never compiled."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "BoolStorage": torch.bool,
}
# No module has more attributes; modules that hold one another in a hostile file would have no end.
_MOST_ATTRIBUTES = 1_000_000


def is_archive(path: Path) -> bool:
    """Whether the file is a TorchScript archive: a zip with code and constants beside its objects."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        parts = {name.partition("/")[2] for name in archive.namelist()}
    return {"data.pkl", "constants.pkl"} <= parts


def read(path: Path) -> dict[str, Tensor]:
    """The parameters and buffers in an archive, by their dotted paths, on the CPU.

    Raises:
        pickle.UnpicklingError: when the archive names anything but tensors and modules of its own.
        Exception: whatever a broken archive makes the readers raise.
    """
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.partition("/")[2] == "data.pkl")
        root = _Unpickler(archive, name.partition("/")[0]).load()
    if not isinstance(root, _Module):
        raise pickle.UnpicklingError(f"the archive holds a {type(root).__name__}, no module")
    return dict(_flatten(root, "", count()))


class _Module:
    """A module of the archive: its attributes alone."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(f"a module's attributes are a {type(state).__name__}")
        self.attributes = state


def _flatten(module: _Module, prefix: str, seen: Iterator[int]) -> Iterator[tuple[str, Tensor]]:
    for name, value in module.attributes.items():
        if next(seen) > _MOST_ATTRIBUTES:
            raise pickle.UnpicklingError("modules without end")
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _flatten(value, f"{prefix}{name}.", seen)


class _Unpickler(pickle.Unpickler):
    """Makes inert modules and tensors; nothing that the file names is imported."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive, self._folder = archive, folder
        self._storages: dict[str, Tensor] = {}
        super().__init__(io.BytesIO(_member(archive, f"{folder}/data.pkl")))

    def find_class(self, module: str, name: str) -> Any:
        """What stands in for a global.

        Raises:
            pickle.UnpicklingError: when nothing does.
        """
        if module == "__torch__" or module.startswith("__torch__."):
            # A class of its own each time: what a file hangs on it stays with it.
            return type("Module", (_Module,), {})
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if known := _FUNCTIONS.get(f"{module}.{name}"):
            return known
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, saved: Any) -> Tensor:
        """A storage's numbers, one-dimensional.

        Raises:
            pickle.UnpicklingError: when `saved` is no storage.
        """
        kind, dtype, key, *_ = saved
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"a persistent {kind}")
        if key not in self._storages:
            content = bytearray(_member(self._archive, f"{self._folder}/data/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a part of the archive; PyTorch compresses none of these, so that none can swell."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile(f"'{name}' is compressed")
    return archive.read(name)


class _Function:
    """A function that a file may call, and cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function has no state")


def _tensor(numbers: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_options: Any) -> Tensor:
    return numbers.as_strided(tuple(size), tuple(stride), offset)  # checks that all of it is there


def _same(value: Any, *_options: Any) -> Any:
    return value


_FUNCTIONS = {
    "torch._utils._rebuild_tensor_v2": _Function(_tensor),
    "collections.OrderedDict": _Function(dict),
    "torch.jit._pickle.restore_type_tag": _Function(_same),
    **{f"torch.jit._pickle.build_{kind}list": _Function(_same) for kind in ("bool", "double", "int", "tensor")},
}
