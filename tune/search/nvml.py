"""The GPUs that CUDA shows to this process, as the driver lists them, without importing torch."""

from __future__ import annotations

import itertools
import os
from typing import Any

from ray._private.thirdparty import pynvml  # Ray counts the GPUs with it, too


def visible() -> list[Any]:
    """NVML handles of the GPUs that CUDA shows; [] if there is no driver.

    They are in the driver's order, which is CUDA's if all are of one kind or CUDA_DEVICE_ORDER is PCI_BUS_ID.

    CUDA_VISIBLE_DEVICES names a GPU by number or by the start of its id, and CUDA ignores all after a wrong name, such
    as -1 (CUDA C++ Programming Guide, "CUDA Environment Variables").
    """
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:  # usually because there is no driver
        return []
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return handles
    named = (_named(name.strip(), handles) for name in names.split(","))
    return list(itertools.takewhile(lambda handle: handle is not None, named))


def _named(name: str, handles: list[Any]) -> Any | None:
    if name.isdecimal():
        return handles[int(name)] if int(name) < len(handles) else None
    try:
        if name.startswith("MIG"):  # a slice, which is not among the handles
            return pynvml.nvmlDeviceGetHandleByUUID(name)
        found = [handle for handle in handles if name and str(pynvml.nvmlDeviceGetUUID(handle)).startswith(name)]
    except pynvml.NVMLError:
        return None
    return found[0] if len(found) == 1 else None
