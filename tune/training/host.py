"""What the processor and the allocator need to be told so that a CPU trains at its full speed."""

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
"""What torch says in a RuntimeError where it does not raise its own OutOfMemoryError."""

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = -1


@contextmanager
def at_full_speed() -> Iterator[None]:
    """While it lasts, this thread takes subnormal numbers for zero. Large freed blocks stay in the process for good.

    Threads that torch starts from this one meanwhile inherit the first; those it has already go on as they were. Who
    trains with several enters it before torch computes anything large.

    Momentum of a weight that gets no gradient decays into subnormal numbers, which the processor handles in
    microcode: SimpleCNN at batch 8 lost a third of its speed by its third epoch.
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
    """Whether an error of torch's means that memory did not suffice, of a GPU or of the machine."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def give_back_memory() -> None:
    """Gives the system what earlier trainings of this process have freed, so that the largest is not kept for good."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if (trim := _from_libc("malloc_trim")) is not None:
        trim(0)


@cache
def _keep_freed_memory() -> None:
    """Has glibc keep the large blocks that a step frees, for the next step to take.

    By default they go back to the system and come again page by page: 10,000 page faults a step of SimpleCNN at
    batch 128, a third of its time. The peak is the same.
    """
    mallopt = _from_libc("mallopt")
    # In this order: a trim threshold alone ends glibc's own adaptation, and every large block would be mapped anew.
    # Before 2.35 it takes no more than 32 MB for the other one.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, 1 << 30) or mallopt(_MMAP_THRESHOLD, 32 << 20)):
        mallopt(_TRIM_THRESHOLD, _NEVER)


def _from_libc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None elsewhere, musl included."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
