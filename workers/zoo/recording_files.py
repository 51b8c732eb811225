"""Files of recorded responses: arrays of which only the rows asked for are read, and nothing is ever run."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rosetta.errors import InvalidRequest

# What an array without a name of its own is called.
ONLY = "responses"
# Where a file names the probe set that it answers: safetensors metadata, or an attribute of zarr.
PROBE_KEY = "probe_set_digest"

_NUMBERS = "fiub"  # numpy's kinds: floats, integers with and without sign, booleans
_SAFETENSORS = {
    **{"F64": "f8", "F32": "f4", "F16": "f2", "BF16": ml_dtypes.bfloat16, "BOOL": "?"},
    **{"I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1"},
}
_FORMATS = "write responses with numpy.save, as safetensors, or as a zarr array or group"
_ZARR_FILES = frozenset({"zarr.json", ".zarray", ".zgroup"})


@dataclass(frozen=True)
class RecordedArray:
    """An array in a file.

    Attributes:
        shape: of all of it, images first.
        dtype: of its elements, as its format calls it.
        numbers: whether they are real numbers.
        read: rows by index, in any order: float32 [B, ...].
    """

    shape: tuple[int, ...]
    dtype: str
    numbers: bool
    read: Callable[[list[int]], Tensor]


@dataclass(frozen=True)
class RecordedFile:
    """The arrays in a file by name, and the digest of the probe set that the file says it answers."""

    arrays: dict[str, RecordedArray]
    probe: str | None = None


def open_file(path: Path) -> RecordedFile:
    """The arrays in a .npy or safetensors file, or in a zarr folder or .zip; by what it holds, not by its name.

    Raises:
        InvalidRequest: when there is no such file, it is none of these or broken, or the extra `zarr` is missing.
    """
    if path.is_dir():
        return _open_zarr(path)
    if not path.is_file():
        raise InvalidRequest(f"there is no recording '{path}'", file=str(path))
    with path.open("rb") as file:
        head = file.read(9)
    if head[:6] == b"\x93NUMPY":
        return RecordedFile({ONLY: _open_npy(path)})
    if head[8:] == b"{":  # safetensors: the header's length, then JSON
        return _open_safetensors(path)
    if head[:2] == b"PK":
        return _open_zip(path)
    raise InvalidRequest(f"'{path.name}' is no recording: {_FORMATS}", file=path.name)


def recorded(shape: Sequence[int], dtype: npt.DTypeLike, read: Callable[[list[int]], npt.ArrayLike]) -> RecordedArray:
    """An array whose rows come as numpy's.

    Args:
        shape: of all of it.
        dtype: of its elements.
        read: rows by index, as they are stored.
    """
    dtype = np.dtype(dtype)

    def rows(indices: list[int]) -> Tensor:
        with np.errstate(over="ignore"):  # float64 beyond float32 is infinite, and mining names layer and image
            return torch.from_numpy(np.array(read(indices), np.float32, order="C"))

    return RecordedArray(tuple(shape), str(dtype), dtype.kind in _NUMBERS or dtype == ml_dtypes.bfloat16, rows)


def broken(path: Path, error: Exception) -> InvalidRequest:
    """The error of a file that cannot be read, with the reason in a line."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InvalidRequest(f"'{path.name}' is broken or cut short ({reason}): copy or write it again", file=path.name)


def _open_npy(path: Path) -> RecordedArray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken or hostile file may raise anything
        if "Python objects" in str(error):
            raise InvalidRequest(
                f"'{path.name}' holds Python objects and was not opened: save numbers, array.astype('float32')",
                file=path.name,
            ) from error
        raise broken(path, error) from error
    return recorded(array.shape, array.dtype, lambda indices: array[indices])


def _open_safetensors(path: Path) -> RecordedFile:
    from safetensors import safe_open

    try:
        # As numpy's: torch maps a file so that it has to fit into memory. It is never closed, for its slices are read
        # as long as they are referred to.
        file = safe_open(path, framework="np")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        stated = (file.metadata() or {}).get(PROBE_KEY)
    except Exception as error:  # a broken or hostile file may raise anything
        raise broken(path, error) from error
    return RecordedFile({name: _slice(whole) for name, whole in slices.items()}, stated)


def _slice(whole: Any) -> RecordedArray:
    name = whole.get_dtype()
    dtype = _SAFETENSORS.get(name, "V")  # others, such as F8_E4M3, are no numbers to numpy
    array = recorded(whole.get_shape(), dtype, lambda indices: np.stack([whole[index] for index in indices]))
    return replace(array, dtype=name)


def _open_zip(path: Path) -> RecordedFile:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(name) for name in archive.namelist()]
    except Exception as error:
        raise broken(path, error) from error
    # A folder is often zipped with its own name in front.
    roots = sorted((name.parent for name in names if name.name in _ZARR_FILES), key=lambda root: len(root.parts))
    if not roots:
        raise InvalidRequest(
            f"'{path.name}' is an archive without zarr in it (.npz, perhaps): {_FORMATS}", file=path.name
        )
    return _open_zarr(path, roots[0].parts)


def _open_zarr(path: Path, inside: Sequence[str] = ()) -> RecordedFile:
    try:
        from workers.zoo import recording_zarr
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"zarr", "numcodecs"}:
            raise
        raise InvalidRequest(
            f"'{path.name}' is zarr, which takes an extra: pip install 'rosetta-neurons[zarr]'", file=path.name
        ) from error
    return recording_zarr.open_arrays(path, "/".join(inside))
