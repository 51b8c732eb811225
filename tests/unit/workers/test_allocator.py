"""Run in a process of its own: the setting is the process's."""

import subprocess
import sys

PROGRAM = """
import resource, sys
import torch
from torch import nn
from workers.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
network = nn.Sequential(*[nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(3)])
images = torch.zeros(24, 8, 112, 112)
with torch.inference_mode():
    for _ in range(3):
        network.eval()(images)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        network(images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_forward_passes_do_not_fault_memory_in_anew():
    assert faults("keep") * 5 < faults("plain")
