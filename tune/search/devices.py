"""What a trial runs on, and whether the machine has it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from ray._private.utils import get_num_cpus  # what Ray will count, a container's limit included


@dataclass(frozen=True)
class Share:
    """What one trial is given."""

    cpus: int
    gpus: float

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.gpus else "cpu")


@dataclass(frozen=True)
class Machine:
    """What there is to share."""

    cpus: int
    gpus: int
    names: tuple[str, ...]

    def at_once(self, share: Share) -> int:
        """How many trials run side by side."""
        by_cpu = self.cpus // share.cpus
        # A share of a GPU never spans two, so each GPU holds a whole number of trials.
        return min(by_cpu, self.gpus * int(1 / share.gpus + 1e-9)) if share.gpus else by_cpu


def this_machine() -> Machine:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Machine(get_num_cpus(), len(gpus), (_cpu_name(), *gpus))


def resolve(machine: Machine, gpus: float | None, cpus: int | None, *, space_gpus: float, space_cpus: int) -> Share:
    """The share of a trial: as asked, else as the space says; no GPU where there is none.

    ValueError if the machine can not give it: Ray itself would wait for it for ever.
    """
    if gpus is None:
        gpus = space_gpus if machine.gpus else 0.0
    share = Share(space_cpus if cpus is None else cpus, gpus)
    if share.gpus and not machine.gpus:
        raise ValueError(f"--gpus-per-trial is {gpus:g}, but there is no CUDA GPU here; use --gpus-per-trial 0.")
    if share.cpus > machine.cpus:
        raise ValueError(f"A trial wants {share.cpus} CPU cores, but there are {machine.cpus}; lower --cpus-per-trial.")
    return share


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
