"""Recorded responses in zarr: a folder or a .zip, one array or a group of them. Needs the extra `zarr`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import LocalStore, ZipStore

from rosetta.errors import InvalidRequest
from workers.zoo.recording_files import ONLY, PROBE_KEY, RecordedArray, RecordedFile, broken, numpy_array

# A file names the codecs that decode it, and `pickle` is one of numcodecs': only codecs of numbers are let in.
_CODECS = frozenset(
    "adler32 astype bitround blosc bytes bz2 crc32 crc32c delta fixedscaleoffset fletcher32 gzip lz4 lzma packbits "
    "pcodec quantize sharding_indexed shuffle transpose zlib zstd".split()
)


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
    except Exception as error:  # a broken or hostile file may raise anything
        raise broken(path, error) from error
    for name, used in codecs.items():
        if strange := [codec for codec in used if codec not in _CODECS]:
            raise InvalidRequest(
                f"array '{name}' of '{path.name}' is encoded by '{strange[0]}', which is not read: "
                "write it with zarr's own codecs",
                file=path.name,
            )
    stated = node.attrs.get(PROBE_KEY)
    return RecordedFile(
        {name: _recorded(path, name, array) for name, array in arrays.items()},
        stated if isinstance(stated, str) else None,
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

    return numpy_array(array, read)


def _codecs(metadata: Mapping[str, Any]) -> Iterator[str]:
    """The names of all codecs in an array's metadata, of zarr 2 (`id`) or 3 (`name`), shards' inner ones too."""
    inner = [metadata.get("compressor"), *(metadata.get("filters") or ())]
    inner += [*(metadata.get("codecs") or ()), *(metadata.get("index_codecs") or ())]
    for codec in inner:
        if codec is not None:
            yield str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
            yield from _codecs(codec.get("configuration") or {})
