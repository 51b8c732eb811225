"""Recorded responses in zarr: a folder or a .zip, one array or a group of them. Needs the extra `zarr`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import LocalStore, ZipStore

from rosetta.errors import InvalidRequest
from workers.zoo.recording_files import ONLY, PROBE_KEY, RecordedArray, RecordedFile, broken, recorded

# A file names the codecs that decode it, and `pickle` is one of numcodecs': only codecs of numbers are let in.
_CODECS = frozenset(
    {
        *("adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset"),
        *("fletcher32", "gzip", "lz4", "lzma", "packbits", "pcodec", "quantize", "sharding_indexed", "shuffle"),
        *("transpose", "zlib", "zstd"),
    }
)
# A chunk that was never written takes no bytes: shapes alone could ask for all the memory there is.
_MOST_NUMBERS = 2**28


def open_arrays(path: Path, inside: str = "") -> RecordedFile:
    """The arrays of a zarr folder or .zip, by their paths in the group; of a single array, `responses`.

    Args:
        path: of the folder or the .zip.
        inside: where in the .zip the array or group lies.

    Raises:
        InvalidRequest: when it is not zarr, broken, or encoded by a codec that is not let in.
    """
    try:
        store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
        # What a consolidated listing names may lie anywhere: the members are looked for.
        node = zarr.open(store=store, path=inside, mode="r", use_consolidated=False)
        arrays = {ONLY: node} if isinstance(node, zarr.Array) else dict(_members(node))
        codecs = {name: list(_codecs(array.metadata.to_dict())) for name, array in arrays.items()}
        stated = node.attrs.get(PROBE_KEY)
    except Exception as error:  # a broken or hostile file may raise anything
        raise broken(path, error) from error
    for name, array in arrays.items():
        _check(path, name, array, codecs[name])
    return RecordedFile(
        {name: _recorded(path, name, array) for name, array in arrays.items()},
        stated if isinstance(stated, str) else None,
    )


def _check(path: Path, name: str, array: Any, codecs: Sequence[str]) -> None:
    if strange := [codec for codec in codecs if codec not in _CODECS]:
        raise InvalidRequest(
            f"array '{name}' of '{path.name}' is encoded by '{strange[0]}', which is not read: "
            "write it with zarr's own codecs",
            file=path.name,
        )
    if max(prod(array.shape[1:]), prod(array.chunks)) > _MOST_NUMBERS:
        raise InvalidRequest(
            f"array '{name}' of '{path.name}' is of shape {list(array.shape)} in chunks of {list(array.chunks)}, "
            f"and a chunk has at most {_MOST_NUMBERS:,} numbers: write it in chunks of a few images",
            file=path.name,
        )


def _members(group: zarr.Group) -> Iterator[tuple[str, zarr.Array]]:
    for name, member in group.members(max_depth=None, use_consolidated_for_children=False):
        if isinstance(member, zarr.Array):
            yield name, member


def _recorded(path: Path, name: str, array: Any) -> RecordedArray:
    def read(indices: list[int]) -> npt.NDArray[np.generic]:
        try:
            return np.asarray(array.get_orthogonal_selection((np.array(indices, np.int64),)))
        except MemoryError:  # fewer rows may do
            raise
        except Exception as error:
            raise broken(path, error) from error

    return recorded(array.shape, array.dtype, read)


def _codecs(metadata: Mapping[str, Any]) -> Iterator[str]:
    """The names of all codecs in an array's metadata, of zarr 2 (`id`) or 3 (`name`), shards' inner ones too."""
    inner = [metadata.get("compressor"), *(metadata.get("filters") or ())]
    inner += [*(metadata.get("codecs") or ()), *(metadata.get("index_codecs") or ())]
    for codec in inner:
        if codec is not None:
            yield str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
            yield from _codecs(codec.get("configuration") or {})
