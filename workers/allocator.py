"""The C allocator of a worker: freed memory is kept for the next batch."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to 2 GiB, rather than give it back and fault it in anew.

    A forward pass makes and frees tensors of tens of MB, each above the size that glibc maps on its own; the page
    faults took a third of EfficientNet-Lite0's time on two quiet cores, and most of it where the kernel was busy.
    Other C libraries have no such setting, and are left alone.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _LARGEST)
        mallopt(_MMAP_THRESHOLD, _LARGEST)
