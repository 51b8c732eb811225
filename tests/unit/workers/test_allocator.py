"""Run in a process of its own: the setting is the process's."""

import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
import psutil
import torch
from workers.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
torch.ones(1)
maps = torch.ones(2**24)  # 64 MiB, as a layer's maps of a batch
held = psutil.Process().memory_info().rss
del maps
print(held - psutil.Process().memory_info().rss)
"""
MAPS = 2**26


def given_back(how: str) -> int:
    """Bytes that go back to the system when maps are let go of: the next ones have to be faulted in anew."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_freed_memory_is_kept_for_the_next_forward_pass():
    assert given_back("plain") > 0.9 * MAPS
    assert given_back("keep") < 0.1 * MAPS
