"""What stands in for everything that a pickle names, so that reading one runs none of its code.

Nothing that a file names is imported. Each global becomes something of this module, and an unknown one ends the
reading: persistent objects and modules become a `Record`, arrays and tensors are made anew from their bytes.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Modules whose classes come as records: parts of networks, among them the discriminators beside a generator.
# dill wrote StyleGAN-XL's files: functions with their code, and methods. They become records too, that nobody calls.
_PARTS = (
    "torch.nn.", "torch.ao.nn.", "pg_modules.", "timm.", "torchvision.", "feature_networks.", "clip.", "dill._dill.",
)  # fmt: skip


@dataclass(eq=False)
class Record:
    """An object of the file as it was stored: its class by name, and its attributes.

    Attributes:
        kind: `Generator` of a persistent object, `torch.nn.modules.linear.Linear` of any other.
        state: its attributes; of a module among them `_parameters`, `_buffers` and `_modules`.
    """

    kind: str
    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        attributes = state[0] if isinstance(state, tuple) else state  # behind them those in slots, or a function's own
        self.state = dict(attributes or {})


class RefusedError(Exception):
    """The file names code; the text is what."""


class Unpickler(pickle.Unpickler):
    """Reads with this module's own objects in place of all that a file names."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands in for a global.

        Raises:
            RefusedError: when nothing does.
        """
        return _stand_in(module, name)


def _stand_in(module: str, name: str) -> Any:
    full = f"{module}.{name}"
    if full in _OWN:
        return _OWN[full]
    if full.startswith(_PARTS):
        return _blank(full)
    raise RefusedError(full)


def _blank(kind: str) -> type[Record]:
    """A class whose instances are records of that kind, whatever they are made with; a new one at each call."""

    class Blank(Record):
        def __new__(cls, *_arguments: Any, **_options: Any) -> Blank:
            return object.__new__(cls)

        def __init__(self, *_arguments: Any, **_options: Any) -> None:
            pass

    Blank.kind, Blank.state = kind, {}
    return Blank


class _Call:
    """A function that a file may call; unlike a plain function, the file cannot change it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function has no state")


class _Dict(dict[Any, Any]):
    """An `EasyDict` or `OrderedDict`; attributes that someone hung on it are dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Dtype:
    """A numpy type of numbers. The file sets the byte order and nothing else: numpy itself believes any flags."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str, *_options: Any) -> None:
        if not re.fullmatch(r"[biufc]\d{1,2}", code):
            raise pickle.UnpicklingError(f"an array of {code!r}")
        self._code, self._order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a structured array")
        self._order = state[1]

    def numpy(self) -> np.dtype[Any]:
        """The type itself."""
        return np.dtype(self._order + self._code)


class _Array(np.ndarray[Any, Any]):
    """An array of numbers, whose bytes come as its state."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_columns, content = state
        super().__setstate__((1, shape, _numpy(dtype), bool(by_columns), _bytes(content)))  # type: ignore[arg-type]


def _numpy(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array of no known type")
    return dtype.numpy()


def _bytes(content: Any) -> bytes:
    return content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))


def _empty_array(*_arguments: Any) -> _Array:
    return _Array(0)


def _dill_array(_function: Any, _arguments: Any, state: tuple[Any, ...], _attributes: Any = None) -> _Array:
    """The array of a file that dill wrote, as StyleGAN-XL's are."""
    array = _empty_array()
    array.__setstate__(state)
    return array


@dataclass(frozen=True)
class _Module:
    """A module that the file names, and that is not imported."""

    name: str

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a module has no state")


def _member(owner: Any, name: str, *_default: Any) -> Any:
    """What stands in for a module's function (so dill writes numpy's), or for a method of any other object."""
    return _stand_in(owner.name, name) if isinstance(owner, _Module) else _blank(f"method {name}")()


def _type(name: str, *_options: Any) -> Any:
    return _OWN.get(f"builtins.{name}") or _blank(name)


def _array(content: Any, dtype: Any, shape: tuple[int, ...], order: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(_bytes(content), _numpy(dtype)).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any) -> Any:
    return np.frombuffer(_bytes(content), _numpy(dtype), count=1)[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how old protocols write bytes
        raise pickle.UnpicklingError(f"bytes in {encoding}")
    return text.encode("latin1")


@dataclass(frozen=True)
class _Storage:
    """The numbers of a tensor: one-dimensional."""

    numbers: Tensor

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a storage has no state")


def _storage(content: bytes) -> _Storage:
    """What `torch.save(storage)` wrote; the file's own way to read it would run code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # typed storages are old, and so are the files
        try:
            storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise RefusedError("code in the bytes of a tensor (torch.storage._load_from_bytes)") from error
        if not isinstance(storage, torch.storage.TypedStorage):
            raise pickle.UnpicklingError("no storage")
        return _Storage(torch.empty(0, dtype=storage.dtype).set_(storage.untyped()))


def _tensor(storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_options: Any) -> Tensor:
    return storage.numbers.as_strided(tuple(size), tuple(stride), offset)  # checks that all of it is there


def _parameter(data: Tensor, *_options: Any) -> Tensor:
    return data


def _persistent(meta: dict[str, Any]) -> Record:
    """A persistent object; the source code that it carries (`module_src`) is left alone."""
    return Record(str(meta["class_name"]), dict(meta["state"]))


_OWN: dict[str, Any] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _Call(_persistent),
    "dnnlib.tflib.network.Network": _blank("dnnlib.tflib.network.Network"),
    "dnnlib.util.EasyDict": _Dict,
    "dnnlib.EasyDict": _Dict,
    "collections.OrderedDict": _Dict,
    **{f"{module}.set": set for module in ("builtins", "__builtin__")},
    **{f"{module}.bytes": _Call(lambda: b"") for module in ("builtins", "__builtin__")},  # of none; others are encoded
    "_codecs.encode": _Call(_encode),
    **{f"{module}.getattr": _Call(_member) for module in ("builtins", "__builtin__")},
    **{f"{module}.setattr": _blank("setattr") for module in ("builtins", "__builtin__")},
    "dill._dill": _Module("dill._dill"),
    "dill._dill._create_array": _Call(_dill_array),
    "dill._dill._get_attr": _Call(_member),
    "dill._dill._import_module": _Call(lambda name, *_options: _Module(name)),
    "dill._dill._load_type": _Call(_type),
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _blank("numpy.ndarray"),
    **{
        f"numpy.{core}.{name}": _Call(function)
        for core in ("core", "_core")
        for name, function in (
            ("multiarray._reconstruct", _empty_array),
            ("multiarray.scalar", _scalar),
            ("_multiarray_umath._reconstruct", _empty_array),
            ("_multiarray_umath.scalar", _scalar),
            ("numeric._frombuffer", _array),
        )
    },
    **{str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)},
    "torch.Size": _Call(tuple),
    "torch.device": _Call(lambda *where: ":".join(map(str, where))),
    "torch.storage._load_from_bytes": _Call(_storage),
    "torch._utils._rebuild_tensor_v2": _Call(_tensor),
    "torch._utils._rebuild_parameter": _Call(_parameter),
}
