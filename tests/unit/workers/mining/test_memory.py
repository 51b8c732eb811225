"""The memory budget holds: measured, in a process of its own."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
import torch
from tests.mining import mine

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

budget = int(sys.argv[1])
maps = [{"l": torch.randn(8, 5000, 3, 3)}, {"l": torch.randn(8, 4000, 4, 2)}]
mine({"a": {"l": maps[0]["l"][:, :9]}, "b": {"l": maps[1]["l"][:, :9]}})  # libraries allocate what they will
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
miner = mine({"a": maps[0], "b": maps[1]}, budget=budget, permutations=3, keep=10)
print(len(miner.passes), status("VmHWM") - before)
"""


@pytest.mark.parametrize("mebibytes", [400, 1000])
def test_peak_memory_stays_under_the_budget(mebibytes):
    budget = mebibytes * 2**20
    # glibc raises these as it goes, and keeps what was freed: what is held shall count, not what the C library keeps.
    fixed = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(budget)],
        capture_output=True, text=True, check=True, timeout=120, env=os.environ | fixed,
    )  # fmt: skip
    passes, peak = map(int, done.stdout.split())
    assert peak < budget
    # 5,000 x 4,000 units with 3 permutations are 480 MB of sums: the small budget must have taken several passes.
    assert (passes > 1) == (mebibytes == 400)
