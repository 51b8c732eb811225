"""Weight files: read without running code, digested, and fitted to a module; says what does not fit."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rosetta.errors import InvalidRequest
from workers.zoo import torchscript

State = dict[str, Tensor]

# Of several state dicts in one checkpoint, the first of these is the network; anything else is ambiguous. DINO's
# teacher, the mean of its student, is what its authors publish.
_USUAL_ENTRIES = ("state_dict", "model_state_dict", "model", "teacher")


def digest_files(paths: Iterable[Path]) -> str:
    """The sha256 of the files' bytes, one after the other, hex."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def read_state(path: Path) -> State:
    """The state dict in a safetensors or PyTorch file, on the CPU; no code in the file ever runs.

    A checkpoint that wraps its state dict (`{"state_dict": ...}`, `{"model": ...}`, any single entry) is
    unwrapped, and entries that are no tensors are left out.

    Raises:
        InvalidRequest: when there is no such file, it holds code or something else than weights, or is broken.
    """
    content = read(path)
    if not isinstance(content, Mapping):
        raise InvalidRequest(
            f"'{path.name}' holds a {type(content).__name__}, not a state dict: "
            "save it again with torch.save(model.state_dict(), ...)",
            file=path.name,
        )
    return _unwrap(content, path.name)


def read(path: Path) -> Any:
    """What a safetensors or PyTorch file holds, on the CPU: tensors and plain data; no code in it ever runs.

    A TorchScript archive gives its parameters and buffers.

    Raises:
        InvalidRequest: when there is no such file, it holds code, or is broken.
    """
    if not path.is_file():
        raise InvalidRequest(f"there is no weight file '{path}'", file=str(path))
    with path.open("rb") as file:
        head = file.read(9)
    try:
        if head[8:] == b"{":  # safetensors: the header's length, then JSON
            from safetensors.torch import load_file

            return load_file(path)
        if torchscript.is_archive(path):  # CLIP's own weights are one
            return torchscript.read(path)
        # Training scripts keep their command line beside the weights: a Namespace is plain data.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # of other pickle protocols; what cannot be read is an error
            # A zip archive is mapped, so that the tensors of a large file are in memory once.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a broken or hostile file may raise anything
        raise InvalidRequest(_reason(path, head, error), file=path.name) from error


def _reason(path: Path, head: bytes, error: Exception) -> str:
    pickled = head[:2] == b"PK" or head[:1] == b"\x80"
    if pickled and isinstance(error, pickle.UnpicklingError):
        return (
            f"'{path.name}' holds Python objects or code beside its tensors and was not opened: "
            "save the weights again as safetensors, or with torch.save(model.state_dict(), ...)"
        )
    if pickled or head[8:] == b"{":
        return f"'{path.name}' is broken or cut short: copy or download it again"
    return f"'{path.name}' is not a weight file: safetensors and PyTorch's .pt, .pth and .bin are read"


def _unwrap(content: Mapping[Any, Any], name: str) -> State:
    tensors = {str(key): value.detach() for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        return tensors
    inner = {key: value for key, value in content.items() if _has_tensors(value)}
    for key in _USUAL_ENTRIES:
        if key in inner:
            return _unwrap(inner[key], name)
    if len(inner) == 1:
        return _unwrap(next(iter(inner.values())), name)
    if inner:
        entries = ", ".join(repr(key) for key in inner)
        raise InvalidRequest(
            f"'{name}' holds several state dicts ({entries}): save the one you mean in a file of its own",
            file=name,
        )
    raise InvalidRequest(f"'{name}' holds no tensors", file=name)


def _has_tensors(content: Any) -> bool:
    # Keys of a state dict are module paths; an optimiser numbers its entries.
    return isinstance(content, Mapping) and any(
        isinstance(key, str) and (isinstance(value, Tensor) or _has_tensors(value)) for key, value in content.items()
    )


def strip_prefix(state: State, wanted: Iterable[str]) -> State:
    """The state without prefixes that all its keys share and `wanted` does not know, such as `module.`."""
    wanted = set(wanted)
    stripped = state
    while stripped and not wanted & stripped.keys():
        if len({key.partition(".")[0] for key in stripped}) != 1 or not all("." in key for key in stripped):
            return state
        stripped = {key.partition(".")[2]: tensor for key, tensor in stripped.items()}
    return stripped


def backbone(state: State, wanted: Iterable[str]) -> State:
    """The network in a self-supervised checkpoint: without prefixes, projection head and decoder.

    DINO and those after it keep the network at `backbone.`, beside its `head.`; a masked autoencoder has a
    `mask_token` and a decoder beside it.
    """
    wanted = set(wanted)
    state = strip_prefix(state, wanted | {f"backbone.{key}" for key in wanted})
    inside = {key.removeprefix("backbone."): tensor for key, tensor in state.items() if key.startswith("backbone.")}
    if inside and not any(key.startswith("backbone.") for key in wanted):
        state = inside
    if any(key.startswith("decoder_") for key in state.keys() - wanted):
        state = {key: tensor for key, tensor in state.items() if not key.startswith(("decoder_", "mask_token"))}
    return state


def misfit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """The first keys that are missing, unexpected or of another shape, as one clause; None when all fits."""
    # How many batches a normalisation saw in training has no part in evaluation, and old files lack it.
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in wanted]
    shapes = [
        f"{key} is {list(state[key].shape)}, expected {list(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in state and state[key].shape != tensor.shape
    ]
    clauses = [
        f"{what}{some[0]}" + (f" (and {len(some) - 1} more)" if len(some) > 1 else "")
        for what, some in (("missing ", missing), ("unexpected ", unexpected), ("", shapes))
        if some
    ]
    return "; ".join(clauses) or None


def mismatch(file: str, architecture: str, reason: str) -> InvalidRequest:
    """The error of a weight file that does not fit an architecture."""
    return InvalidRequest(
        f"'{file}' does not fit {architecture}: {reason}", file=file, architecture=architecture, reason=reason
    )


def fit(module: nn.Module, state: State, *, file: str, architecture: str) -> None:
    """Loads a state into a module, all of it.

    Raises:
        InvalidRequest: naming the first keys that do not fit.
    """
    wanted = module.state_dict()
    state = strip_prefix(state, wanted)
    if reason := misfit(wanted, state):
        raise mismatch(file, architecture, reason)
    module.load_state_dict(state, strict=False)


def fit_in_order(module: nn.Module, state: State, *, file: str, architecture: str) -> None:
    """Loads a state whose tensors come in the module's own order under other names.

    Raises:
        InvalidRequest: naming the first key whose shape is another one, or both counts.
    """
    wanted = module.state_dict()
    for (theirs, tensor), (ours, expected) in zip(state.items(), wanted.items(), strict=False):
        if tensor.shape != expected.shape:
            raise mismatch(
                file,
                architecture,
                f"{theirs} is {list(tensor.shape)}, expected {list(expected.shape)} for {ours}",
            )
    if len(state) != len(wanted):
        raise mismatch(file, architecture, f"it has {len(state)} tensors, expected {len(wanted)}")
    module.load_state_dict(dict(zip(wanted, state.values(), strict=True)))
