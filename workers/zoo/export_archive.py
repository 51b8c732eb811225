"""Files of `torch.export.save`, taken apart without PyTorch's own loader, which would run pickles in them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE

from rosetta.errors import InvalidRequest

_MEND = "save the program again with torch.export.save(torch.export.export(model.eval(), ...), FILE)"


@dataclass(frozen=True)
class Archive:
    """What a file holds.

    Attributes:
        program: the graph and its signature, as JSON; not checked yet.
        state: parameters and buffers by path.
        constants: other tensors by path.
    """

    program: Any
    state: dict[str, Tensor]
    constants: dict[str, Tensor]


def read(file: Path) -> Archive:
    """What a file of `torch.export.save` holds; example inputs, compiled code and extra files are not looked at.

    Raises:
        InvalidRequest: when there is no such file, it is broken, or it holds Python objects.
    """
    if not file.is_file():
        raise InvalidRequest(f"there is no exported program '{file}'", file=str(file))
    try:
        with zipfile.ZipFile(file) as members:
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):
                raise ValueError("it is compressed")  # torch.export never does; a small file could fill the memory
            return _read(members, file.name)
    except InvalidRequest:
        raise
    except Exception as error:  # a broken or hostile file may raise anything
        raise InvalidRequest(
            f"'{file.name}' is no exported program, or a broken one: {_MEND}", file=file.name
        ) from error


def _read(members: zipfile.ZipFile, name: str) -> Archive:
    names = members.namelist()
    if "serialized_exported_program.json" in names:  # before PyTorch 2.8
        return Archive(
            json.loads(members.read("serialized_exported_program.json")),
            _state(members.read("serialized_state_dict.pt"), name),
            _state(members.read("serialized_constants.pt"), name),
        )
    root = names[0].partition("/")[0]
    programs = [
        member.removeprefix(f"{root}/models/").removesuffix(".json")
        for member in names
        if member.startswith(f"{root}/models/")
    ]
    if len(programs) != 1:
        came = f"several programs ({', '.join(programs[:4])})" if programs else "no program, only compiled code or data"
        raise InvalidRequest(f"'{name}' holds {came}: {_MEND}", file=name)
    return Archive(
        json.loads(members.read(f"{root}/models/{programs[0]}.json")),
        _payload(members, f"{root}/data/weights", programs[0], "weights", name),
        _payload(members, f"{root}/data/constants", programs[0], "constants", name),
    )


def _payload(members: zipfile.ZipFile, folder: str, program: str, kind: str, name: str) -> dict[str, Tensor]:
    """The tensors of a folder by path: their bytes lie in one member each, those that share storage in the same."""
    if f"{folder}/{program}.pt" in members.namelist():  # PyTorch 2.8
        return _state(members.read(f"{folder}/{program}.pt"), name)
    config = json.loads(members.read(f"{folder}/{program}_{kind}_config.json"))["config"]
    stored: dict[str, Tensor] = {}
    tensors: dict[str, Tensor] = {}
    for path, entry in config.items():
        member = f"{folder}/{entry['path_name']}"
        if entry["use_pickle"]:
            tensors[path] = _tensor(_unpickle(members.read(member), name), name)
            continue
        meta = entry["tensor_meta"]
        if member not in stored:
            stored[member] = _flat(members.read(member), _SERIALIZE_TO_TORCH_DTYPE[meta["dtype"]])
        tensor = _view(stored[member], meta)
        tensors[path] = nn.Parameter(tensor, requires_grad=False) if entry["is_param"] else tensor
    return tensors


def _flat(content: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _view(stored: Tensor, meta: Mapping[str, Any]) -> Tensor:
    sizes, strides = ([side["as_int"] for side in meta[sides]] for sides in ("sizes", "strides"))
    if prod(sizes) > stored.numel():  # a broadcast of few numbers to many would fill the memory when copied
        raise ValueError("a tensor is larger than its bytes")
    return stored.as_strided(sizes, strides, meta["storage_offset"]["as_int"])


def _state(content: bytes, name: str) -> dict[str, Tensor]:
    entries = _unpickle(content, name) if content else {}
    return {str(path): _tensor(tensor, name) for path, tensor in dict(entries).items()}


def _unpickle(content: bytes, name: str) -> Any:
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile pickle may raise anything
        raise _objects(name) from error


def _tensor(content: Any, name: str) -> Tensor:
    if type(content) not in {Tensor, nn.Parameter}:
        raise _objects(name)
    found: Tensor = content
    return found


def _objects(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{name}' holds Python objects beside its tensors and was not opened: export a model whose weights and "
        "constants are plain tensors",
        file=name,
    )
