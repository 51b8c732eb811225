"""Where the local stack keeps its data, and how a client finds it. Standard library only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8000"
STATE_FILE = "stack.json"


def default_data_dir() -> Path:
    """`ROSETTA_DATA_DIR`, else the nearest `.rosetta` folder upward, else the user's data folder."""
    if named := os.environ.get("ROSETTA_DATA_DIR"):
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".rosetta").is_dir():
            return folder / ".rosetta"
    share = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(share).expanduser() / "rosetta"


def read_state(data_dir: Path) -> dict[str, Any] | None:
    """What `rosetta up` wrote about the stack that runs on this data directory; None when there is none."""
    try:
        state = json.loads((data_dir / STATE_FILE).read_text())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def service_url() -> str:
    """`ROSETTA_URL`, else the address of the local stack, else the default one."""
    if url := os.environ.get("ROSETTA_URL"):
        return url.rstrip("/")
    state = read_state(default_data_dir())
    return str(state["url"]) if state and "url" in state else DEFAULT_URL
