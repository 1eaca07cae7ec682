"""What a process has to set so that a CPU trains at its full speed. Nothing of it changes a model or a draw."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import torch

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 30


def prepare() -> None:
    """Readies this thread, and those that torch starts from it, for `fit` on a CPU. May be called again."""
    # Momentum of a weight without gradient decays into subnormal numbers, which the processor handles in microcode:
    # SimpleCNN at batch 8 lost a third of its speed in the third epoch. The flag is the thread's, and inherited.
    torch.set_flush_denormal(True)
    _keep_freed_memory()


@cache
def _keep_freed_memory() -> None:
    """Has glibc keep the large blocks that a step frees, for the next step to take.

    By default they go back to the system and come again page by page: 10,000 page faults a step of SimpleCNN at
    batch 128, a quarter of its time. The peak is the same, and it lasts until the process ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _KEPT)
