"""How many trials share a device best, decided from measurements. `search/calibrate.py` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 0.9
"""Of the memory that there is, so much may be filled by the largest trials: others are loaded beside them."""

WORTH = 1.03
"""So many times the throughput must come of more trials side by side, or fewer are better: each is done sooner, and
what comes next can be decided on its result."""

MOST_ON_A_GPU = 8


@dataclass(frozen=True)
class Packing:
    """So many trials side by side on one device."""

    trials: int

    cpus: int
    """Cores of each."""


@dataclass(frozen=True)
class Measured:
    """What a packing came to."""

    packing: Packing

    images_per_s: float
    """Trained on, of all trials together."""

    memory_mb: float
    """Of all trials together, at their largest batch."""


def on_gpu(cores: int, cpus: int) -> list[Packing]:
    """What to try on a GPU that has `cores` beside it, of which a trial takes `cpus`: 1, 2, 4, 8 trials."""
    return [Packing(1 << i, cpus) for i in range(MOST_ON_A_GPU.bit_length()) if i == 0 or (cpus << i) <= cores]


def on_cpu(cores: int) -> list[Packing]:
    """What to try on so many cores: all of them for one trial, half of them for each of two, and so on."""
    return [Packing(cores // each, each) for each in sorted({cores >> i for i in range(cores.bit_length())})][::-1]


def fits(memory_mb: float, total_mb: float) -> bool:
    return memory_mb <= MARGIN * total_mb


def best(measured: Sequence[Measured], total_mb: float) -> Measured:
    """Of those that fit into memory the one with the highest throughput; fewer trials where more gain next to nothing.

    If not even the first fits, it is taken all the same: a trial splits its batches when memory runs out.
    """
    fitting = [item for item in measured if fits(item.memory_mb, total_mb)] or [measured[0]]
    highest = max(item.images_per_s for item in fitting)
    return min((item for item in fitting if item.images_per_s * WORTH >= highest), key=lambda item: item.packing.trials)
