"""The load of the machine's CPU, or of the GPUs that trials run on."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from ray._private.thirdparty import pynvml
from ray._private.utils import get_num_cpus

from tune.search import nvml

EVERY_S = 2.0
"""A query takes a millisecond, and numbers that change faster are unreadable."""


class Load:
    """Describes the load in a few words, updated every EVERY_S seconds."""

    def __init__(self, on_gpu: bool) -> None:
        self._gpus = nvml.visible() if on_gpu else []
        self._text, self._looked = "", -EVERY_S

    def __call__(self) -> str:
        if time.monotonic() - self._looked >= EVERY_S:
            self._looked = time.monotonic()
            self._text = (
                _of_gpus(self._gpus) if self._gpus else f"load {os.getloadavg()[0]:.1f} on {get_num_cpus()} cores"
            )
        return self._text


def _of_gpus(handles: Sequence[Any]) -> str:
    try:
        busy = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in handles]
        memory = [pynvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles]
    except pynvml.NVMLError:  # not available for a MIG slice
        return ""
    return gpus_in_words(busy, [m.used for m in memory], [m.total for m in memory])


def gpus_in_words(busy: Sequence[float], used: Sequence[int], total: Sequence[int]) -> str:
    """`GPU 87 %, 12 of 80 GB`, `8 GPUs 80 %, 96 of 640 GB`; `busy` in per cent, memory in bytes."""
    name = "GPU" if len(busy) == 1 else f"{len(busy)} GPUs"
    return f"{name} {sum(busy) / len(busy):.0f} %, {sum(used) / 1e9:.0f} of {sum(total) / 1e9:.0f} GB"
