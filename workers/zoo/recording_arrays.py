"""Arrays of responses in a file: `.npy`, safetensors or zarr, of which only the rows that are asked for are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rosetta.errors import InvalidRequest

SUFFIXES = ".npy, .safetensors, a zarr folder or its .zip"
# Where safetensors (metadata) and zarr (attribute) may say which probe set they answer.
PROBE_KEY = "probe_set_digest"
# The array of a file that holds one without a name.
ONLY = "responses"

_NUMBERS = "fiub"  # numpy's kinds: float, int, unsigned, bool
_SAFETENSORS_NUMBERS = frozenset(
    ("F16", "BF16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL")
)
# A zarr array takes no bytes where it is empty: its shape alone could ask for all memory there is.
_MOST_NUMBERS = 2**28
# Codecs that turn bytes into bytes or numbers. Zarr 2 knows others, such as `pickle`, that run code from the file.
_CODECS = frozenset(
    ("blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset", "gzip", "lz4", "lzma", "packbits")
    + ("sharding_indexed", "shuffle", "transpose", "zlib", "zstd")
)


@dataclass(frozen=True)
class Responses:
    """One array of a file.

    Attributes:
        name: as the file has it.
        shape: images first.
        read: rows in ascending order, int64 [B], to float32 [B, ...].
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[np.ndarray], Tensor]


@dataclass(frozen=True)
class Contents:
    """The arrays of a file, and the probe set it says it answers."""

    arrays: tuple[Responses, ...]
    probe: str | None = None


def read(path: Path) -> Contents:
    """What lies in a file or folder, by its suffix; no response is read yet.

    Raises:
        InvalidRequest: when it is of another kind, broken, or holds something else than numbers.
    """
    if path.is_dir() or path.suffix == ".zip":
        return _zarr(path)
    readers = {".npy": _npy, ".safetensors": _safetensors}
    if path.suffix not in readers:
        raise InvalidRequest(f"'{path.name}' is no recording: {SUFFIXES} is read", file=path.name)
    if not path.is_file():
        raise InvalidRequest(f"there is no file '{path}'", file=str(path))
    return readers[path.suffix](path)


def _npy(path: Path) -> Contents:
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # refuses pickled objects
    except (ValueError, OSError, EOFError) as error:
        if "Python objects" in str(error):
            raise _no_numbers(path, ONLY, "Python objects") from None
        raise _broken(path, error) from error
    if array.dtype.kind not in _NUMBERS:
        raise _no_numbers(path, ONLY, str(array.dtype))
    return Contents((Responses(ONLY, array.shape, lambda rows: _float32(array[rows])),))


def _safetensors(path: Path) -> Contents:
    from safetensors import SafetensorError, safe_open

    try:
        opened = safe_open(path, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise _broken(path, error) from error
    slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    for name, values in slices.items():
        if values.get_dtype() not in _SAFETENSORS_NUMBERS:
            raise _no_numbers(path, name, values.get_dtype())
    arrays = [Responses(name, tuple(values.get_shape()), _row_by_row(values)) for name, values in slices.items()]
    return Contents(_in_order(arrays), (opened.metadata() or {}).get(PROBE_KEY))


def _row_by_row(values: Any) -> Callable[[np.ndarray], Tensor]:
    return lambda rows: torch.cat([values[row : row + 1] for row in rows.tolist()]).float()


def _zarr(path: Path) -> Contents:
    try:
        import zarr
    except ImportError:
        raise InvalidRequest(
            "recordings in zarr need the package zarr: pip install 'rosetta-neurons[zarr]', "
            "or save the responses as .npy or .safetensors"
        ) from None
    try:
        store = zarr.storage.LocalStore(path, read_only=True) if path.is_dir() else zarr.storage.ZipStore(path)
        # Metadata that is kept twice could say two things.
        root = zarr.open(store=store, mode="r", use_consolidated=False)
        found = [(ONLY, root)] if isinstance(root, zarr.Array) else root.members(max_depth=None)
        arrays = [(name, array) for name, array in found if isinstance(array, zarr.Array)]
    except FileNotFoundError:
        raise InvalidRequest(
            f"'{path.name}' holds no zarr array or group at its top: zip what is inside the folder, not the folder "
            "(cd responses.zarr && zip -r0 ../responses.zip .)",
            file=path.name,
        ) from None
    except Exception as error:  # a broken or hostile file may raise anything
        raise _broken(path, error) from error
    for name, array in arrays:
        _check_zarr(path, name, array)
    probe = root.attrs.get(PROBE_KEY)
    return Contents(
        _in_order([Responses(name, array.shape, _rows_of_zarr(path, name, array)) for name, array in arrays]),
        None if probe is None else str(probe),
    )


def _check_zarr(path: Path, name: str, array: Any) -> None:
    if array.dtype.kind not in _NUMBERS:
        raise _no_numbers(path, name, str(array.dtype))
    if unknown := sorted(set(_codecs(array.metadata.to_dict())) - _CODECS):
        raise InvalidRequest(
            f"'{path.name}': array '{name}' is encoded by '{unknown[0]}': save it with zarr's own compressors, "
            "such as zstd or blosc",
            file=path.name,
        )
    if max(prod(array.shape[1:]), prod(array.chunks)) > _MOST_NUMBERS:
        raise InvalidRequest(
            f"'{path.name}': array '{name}' has shape {list(array.shape)} in chunks of {list(array.chunks)}: "
            f"at most {_MOST_NUMBERS:,} numbers an image and a chunk are read",
            file=path.name,
        )


def _codecs(metadata: Mapping[str, Any]) -> Iterator[str]:
    """The names of all codecs of an array's metadata, those inside shards as well."""
    steps = (*metadata.get("codecs", ()), *(metadata.get("filters") or ()), metadata.get("compressor"))
    for step in filter(None, steps):
        yield str(step.get("name", step.get("id"))).removeprefix("numcodecs.")
        inside = step.get("configuration") or {}
        yield from _codecs({"codecs": (*inside.get("codecs", ()), *inside.get("index_codecs", ()))})


def _rows_of_zarr(path: Path, name: str, array: Any) -> Callable[[np.ndarray], Tensor]:
    def rows(wanted: np.ndarray) -> Tensor:
        try:
            return _float32(array.oindex[wanted])
        except Exception as error:  # a broken or hostile file may raise anything
            raise _broken(path, f"array '{name}': {error}") from error

    return rows


def _float32(values: np.ndarray) -> Tensor:
    with np.errstate(over="ignore"):  # too large a number becomes infinity, which mining reports
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _in_order(arrays: list[Responses]) -> tuple[Responses, ...]:
    """By name, `layer2` before `layer10`: neither kind of file keeps an order of its own."""

    def key(array: Responses) -> list[tuple[int, str]]:
        return [(len(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", array.name)]

    return tuple(sorted(arrays, key=key))


def _no_numbers(path: Path, name: str, kind: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{path.name}': array '{name}' holds {kind}, not real numbers: save floats or integers", file=path.name
    )


def _broken(path: Path, error: object) -> InvalidRequest:
    reason = " ".join(str(error).split())[:200]
    return InvalidRequest(f"'{path.name}' cannot be read ({reason}): save or copy it again", file=path.name)
