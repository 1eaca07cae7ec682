"""What the processor and the allocator need to be told so that a CPU trains at its full speed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 30


@contextmanager
def at_full_speed() -> Iterator[None]:
    """While it lasts, this thread takes subnormal numbers for zero. Large freed blocks stay in the process for good.

    Momentum of a weight that gets no gradient decays into subnormal numbers, which the processor handles in
    microcode: SimpleCNN at batch 8 lost a third of its speed by its third epoch.
    """
    _keep_freed_memory()
    before = bool((torch.full((1,), 2e-38) / 4 == 0).all())  # the smallest normal number is 1.2e-38
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@cache
def _keep_freed_memory() -> None:
    """Has glibc keep the large blocks that a step frees, for the next step to take.

    By default they go back to the system and come again page by page: 10,000 page faults a step of SimpleCNN at
    batch 128, a third of its time. The peak is the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _KEPT)
