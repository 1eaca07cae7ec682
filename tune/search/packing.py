"""Decides from measurements how many trials should share a device. `search/calibrate.py` measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 0.9
"""Share of the memory that trials at their largest may fill; loading others takes some, too."""

MIN_GAIN = 1.03
"""Running more trials at once must raise the throughput at least by this factor. Otherwise fewer are better: each ends
sooner, and later proposals can learn from it."""


@dataclass(frozen=True)
class Packing:
    """A number of trials on one device at the same time."""

    trials: int

    cpus: int
    """CPU cores of each trial."""


@dataclass(frozen=True)
class Measured:
    """The measurement of a packing."""

    packing: Packing

    images_per_s: float
    """Training images per second, over all trials together."""

    memory_mb: float
    """Of all trials together, with the largest batches."""

    waiting: float = 0.0
    """Share of the time in which a process waited for a core that others used, the worst of all trials."""


def on_gpu(cores: int, cpus: int) -> list[Packing]:
    """What to measure on a GPU with `cores` CPU cores if a trial takes `cpus` of them: 1, 2, 4 and 8 trials."""
    return [Packing(trials, cpus) for trials in (1, 2, 4, 8) if trials == 1 or trials * cpus <= cores]


def on_cpu(cores: int) -> list[Packing]:
    """What to measure on a CPU: one trial on all cores, two on half of them each, and so on."""
    return [Packing(cores // each, each) for each in sorted({cores >> i for i in range(cores.bit_length())})][::-1]


def fits(memory_mb: float, total_mb: float) -> bool:
    return memory_mb <= MARGIN * total_mb


def best(measured: Sequence[Measured], total_mb: float) -> Measured:
    """The packing that fits into memory with the highest throughput, or fewer trials if more gain little.

    If none fits, the first: a trial that runs out of memory splits its batches.
    """
    fitting = [item for item in measured if fits(item.memory_mb, total_mb)] or [measured[0]]
    highest = max(item.images_per_s for item in fitting)
    return min(
        (item for item in fitting if item.images_per_s * MIN_GAIN >= highest), key=lambda item: item.packing.trials
    )
