"""What training asks of the machine: CPU settings for speed, bfloat16, peak memory, recovery when memory runs out."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

_NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "could not create a primitive",  # oneDNN, which does not say why
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""Messages of the RuntimeErrors that torch raises instead of OutOfMemoryError."""

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = -1


@contextmanager
def at_full_speed() -> Iterator[None]:
    """Flushes subnormal numbers to zero in this thread while the context lasts, and keeps freed memory for good.

    Threads that torch starts inside the context inherit the flushing; existing ones do not. To train on several
    threads, enter it before torch computes anything large.

    Without flushing, the momentum of a weight that gets no gradient decays into subnormal numbers, which the processor
    handles in microcode: SimpleCNN at batch size 8 lost a third of its speed by the third epoch.
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
    """Whether this error means that the GPU or the machine ran out of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def give_back_memory() -> None:
    """Returns to the system the memory that earlier trainings in this process have freed."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if (trim := _from_libc("malloc_trim")) is not None:
        trim(0)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process, in MB of 2**20 bytes.

    CUDA: allocated tensors, since torch's last reset. CPU: the resident set, from the start of the process and with
    pages that are shared with others, such as the images.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
    # Not on Linux, where a process inherits ru_maxrss from the one that started it.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def bf16_instructions() -> list[str]:
    """This CPU's instructions for multiplying bfloat16, as torch names them; none where an older torch cannot tell."""
    able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return [name for name in ("avx512_bf16", "amx_bf16") if able.get(name)]


@cache
def _keep_freed_memory() -> None:
    """Makes glibc keep the large blocks that a step frees, so that the next step reuses them.

    By default they go back to the system and are mapped again page by page: 10,000 page faults per step of SimpleCNN
    at batch size 128, a third of its time. Peak memory is unaffected.
    """
    mallopt = _from_libc("mallopt")
    # In this order: setting the trim threshold alone would turn off glibc's adaptation and map every large block anew.
    # glibc before 2.35 accepts at most 32 MB for the mmap threshold.
    if mallopt is not None and (mallopt(_MMAP_THRESHOLD, 1 << 30) or mallopt(_MMAP_THRESHOLD, 32 << 20)):
        mallopt(_TRIM_THRESHOLD, _NEVER)


def _from_libc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None elsewhere, musl included."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
