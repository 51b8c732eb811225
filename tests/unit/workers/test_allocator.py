"""Run in a process of its own: the setting is the process's."""

import subprocess
import sys

PROGRAM = """
import resource, sys
import torch
from workers.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    torch.full((16, 2**20), 1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    torch.full((16, 2**20), 1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_freed_memory_is_not_faulted_in_again():
    assert faults("keep") < 100 < faults("plain")
