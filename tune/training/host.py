"""Processor and allocator settings for full training speed on a CPU, and what to do when memory runs out."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch

_NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "could not create a primitive",  # oneDNN, which says no more
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""Texts of the RuntimeErrors that torch raises instead of OutOfMemoryError."""

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = -1


@contextmanager
def at_full_speed() -> Iterator[None]:
    """Within this context, this thread flushes subnormal numbers to zero; and freed memory is kept for reuse, for good.

    Threads that torch starts within the context inherit the flushing, existing ones do not. To train on several
    threads, enter the context before torch computes anything large.

    The momentum of a weight without gradients decays into subnormal numbers, which the processor handles in microcode:
    SimpleCNN at batch size 8 lost a third of its speed by the third epoch.
    """
    _keep_freed_memory()
    number = torch.full((), 2e-38, dtype=torch.float32, device="cpu")  # the smallest normal one is 1.2e-38
    before = (number / 4).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch means that a GPU or the machine ran out of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def give_back_memory() -> None:
    """Returns memory that earlier trainings of this process have freed to the system."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if (trim := _from_libc("malloc_trim")) is not None:
        trim(0)


@cache
def _keep_freed_memory() -> None:
    """Makes glibc keep the large blocks that a step frees, so that the next step reuses them.

    By default they return to the system and are mapped again page by page: 10,000 page faults per step of SimpleCNN at
    batch size 128, a third of its time. The peak is the same.
    """
    mallopt = _from_libc("mallopt")
    # In this order: a trim threshold alone would turn off glibc's adaptation and map every large block anew.
    # glibc before 2.35 accepts at most 32 MB for the mmap threshold.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, 1 << 30) or mallopt(_MMAP_THRESHOLD, 32 << 20)):
        mallopt(_TRIM_THRESHOLD, _NEVER)


def _from_libc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None elsewhere, musl included."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
