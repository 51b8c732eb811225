"""Ask what neural networks have in common.

>>> from rosetta import Client
>>> client = Client()
>>> client.ask("which neurons in EfficientNet match DCGAN unit 813?")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rosetta.async_client import AsyncClient
    from rosetta.client import Client
    from rosetta.edits import Align, ChangeUnit, CopyPaste, ImageReference, PairChoice, Shift, Zoom
    from rosetta.errors import (
        Conflict,
        InvalidRequest,
        JobFailed,
        NotFound,
        RosettaError,
        Unauthorized,
        Unavailable,
    )
    from rosetta.recipes import Optimiser
    from rosetta.rows import Rows, SqlRows
    from rosetta.uploads import BrokenImages

# Imported when first asked for: `rosetta --help` needs none of it.
_WHERE = {
    "Optimiser": "rosetta.recipes",
    "Zoom": "rosetta.edits",
    "Shift": "rosetta.edits",
    "PairChoice": "rosetta.edits",
    "ImageReference": "rosetta.edits",
    "CopyPaste": "rosetta.edits",
    "ChangeUnit": "rosetta.edits",
    "Align": "rosetta.edits",
    "AsyncClient": "rosetta.async_client",
    "BrokenImages": "rosetta.uploads",
    "Client": "rosetta.client",
    "Conflict": "rosetta.errors",
    "InvalidRequest": "rosetta.errors",
    "JobFailed": "rosetta.errors",
    "NotFound": "rosetta.errors",
    "RosettaError": "rosetta.errors",
    "Rows": "rosetta.rows",
    "SqlRows": "rosetta.rows",
    "Unauthorized": "rosetta.errors",
    "Unavailable": "rosetta.errors",
}

__all__ = [
    "Align",
    "AsyncClient",
    "BrokenImages",
    "ChangeUnit",
    "Client",
    "Conflict",
    "CopyPaste",
    "ImageReference",
    "InvalidRequest",
    "JobFailed",
    "NotFound",
    "Optimiser",
    "PairChoice",
    "RosettaError",
    "Rows",
    "Shift",
    "SqlRows",
    "Unauthorized",
    "Unavailable",
    "Zoom",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'rosetta' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
