"""Runs docs/tour.ipynb anew: its outputs are real, of the service at ROSETTA_URL or of the local one.

python docs/tour.py docs/tour.ipynb
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

CELL_TIMEOUT_S = 120


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of its cells; the file stays as it is.

    Raises:
        CellExecutionError: when a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        record_timing=False,  # times would make every run another file
        config=Config(ConnectionFileMixin={"transport": "ipc"}),  # nobody else listens
    )
    asyncio.run(client.async_execute())
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


if __name__ == "__main__":
    file = Path(sys.argv[1])
    nbformat.write(run(file), file)
