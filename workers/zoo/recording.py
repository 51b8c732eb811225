"""The source `recording:`: responses recorded elsewhere, such as `recording:responses.npy?probe=faces`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo import options, weights
from workers.zoo.base import Network, Recording
from workers.zoo.locations import Locations
from workers.zoo.maps import plain_maps
from workers.zoo.recording_files import RecordedArray, open_file

_Path = tuple[str, ...]


def load(reference: str, locations: Locations) -> Network:
    """The responses in a file, as a network whose input are positions in a probe set and whose layers are arrays.

    Args:
        reference: `FILE?probe=DIGEST`: .npy, safetensors, or zarr as a folder or .zip, of one or several arrays [N, C]
            or [N, C, H, W], row i for image i of the probe set. It is named by its digest, the first 12 characters
            of that or more, or its name; the option may be left out where the file has `probe_set_digest` in its
            metadata.
        locations: gives the file, when it is not in the reference.

    Raises:
        InvalidRequest: when the file is broken, an array is none of responses, arrays differ in length, or no probe
            set is named.
    """
    name, asked = options.split(reference, "recording", ("probe",))
    path = locations.given or Path(name)
    file = open_file(path)
    images = _images(path.name, file.arrays)
    arrays = _in_order(path.name, file.arrays)
    probe = asked.get("probe") or file.probe
    if not probe:
        raise InvalidRequest(
            f"which images '{path.name}' answers is not said: add ?probe=DIGEST to the source "
            "(`rosetta probes show NAME` prints it)",
            file=path.name,
        )
    return Network(
        module=Responses(arrays),
        layers=tuple(".".join(parts) for parts in arrays),
        weights_digest=_digest(path),
        family="recording",
        aliases=(path.name.partition(".")[0].lower() or path.name,),
        recording=Recording(images, probe, stated=file.probe),
        to_maps=plain_maps,
    )


class Rows(nn.Module):
    """One layer: its rows, float32 [B, C] or [B, C, H, W], at positions int64 [B]."""

    def __init__(self, array: RecordedArray) -> None:
        super().__init__()
        self._array = array

    def forward(self, positions: Tensor) -> Tensor:
        """Read from the file at every call; nothing is kept."""
        return self._array.read(positions.tolist())


class Responses(nn.Module):
    """All layers of a recording; the parts of an array's name are nested modules."""

    def __init__(self, arrays: Mapping[_Path, RecordedArray]) -> None:
        """Read nothing yet.

        Args:
            arrays: by the parts of their names, an array before those whose names begin with its own.
        """
        super().__init__()
        self._rows = [self._place(parts, Rows(array)) for parts, array in arrays.items()]

    def _place(self, parts: _Path, rows: Rows) -> Rows:
        # Not by add_module, which refuses the names of nn.Module's own attributes, such as `type` or `forward`.
        node: nn.Module = self
        for part in parts[:-1]:
            node = cast("nn.Module", node._modules.setdefault(part, nn.Module()))
        node._modules[parts[-1]] = rows
        return rows

    def forward(self, positions: Tensor) -> None:
        """Run every layer, in order; what they give is for hooks."""
        for rows in self._rows:
            rows(positions)


def _images(file: str, arrays: Mapping[str, RecordedArray]) -> int:
    """How many images all arrays answer.

    Raises:
        InvalidRequest: when there is no array, one is none of responses, or they differ in length.
    """
    if not arrays:
        raise InvalidRequest(f"'{file}' holds no arrays", file=file)
    for name, array in arrays.items():
        if len(array.shape) not in {2, 4} or not all(array.shape):
            raise InvalidRequest(
                f"array '{name}' of '{file}' is of shape {list(array.shape)}, expected [images, channels] or "
                "[images, channels, height, width], none of them 0",
                file=file,
            )
        if not array.numbers:
            raise InvalidRequest(
                f"array '{name}' of '{file}' holds {array.dtype}, expected floats or integers: convert it to float32",
                file=file,
            )
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        least, most = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise InvalidRequest(
            f"arrays of '{file}' differ in length: '{least}' has {lengths[least]} images, '{most}' {lengths[most]}; "
            "all have to answer the same probe set",
            file=file,
        )
    return next(iter(lengths.values()))


def _in_order(file: str, arrays: Mapping[str, RecordedArray]) -> dict[_Path, RecordedArray]:
    """Arrays by the parts of their names, ordered by them, numbers by value: a file need not keep an order.

    Raises:
        InvalidRequest: when a name cannot be a layer's, or two are the same one.
    """
    ordered: dict[_Path, RecordedArray] = {}
    for name, array in arrays.items():
        parts = tuple(filter(None, re.split(r"[/.]", name)))
        if not parts or not name.isprintable() or re.search(r"[:\s]", name):
            raise InvalidRequest(
                f"array {name!r} of '{file}' cannot be a layer: rename it, without blanks and ':'", file=file
            )
        if parts in ordered:
            raise InvalidRequest(f"two arrays of '{file}' are layer '{'.'.join(parts)}': rename one", file=file)
        ordered[parts] = array
    return dict(sorted(ordered.items(), key=lambda item: [_natural(part) for part in item[0]]))


def _natural(part: str) -> list[str | int]:
    """A key that orders `block2` before `block10`: text and numbers take turns."""
    return [int(piece) if place % 2 else piece for place, piece in enumerate(re.split(r"(\d+)", part))]


def _digest(path: Path) -> str:
    """sha256 of a file; of a folder, of its files' names and digests in order of the names. Hexadecimal."""
    if path.is_file():
        return weights.digest_files([path])
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listing = "".join(f"{weights.digest_files([files[name]])}  {name}\n" for name in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()
