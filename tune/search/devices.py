"""What a trial runs on, and whether the machine has it."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ray._private.thirdparty import pynvml  # with which Ray counts the GPUs
from ray._private.utils import get_num_cpus  # what Ray will count, a container's limit included

from tune import cpu

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """What one trial is given."""

    cpus: int
    gpus: float

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device("cuda" if self.gpus else "cpu")


@dataclass(frozen=True)
class Machine:
    """What there is to share."""

    cpus: int
    gpus: int
    names: tuple[str, ...]

    def node(self, on_gpu: bool) -> Machine:
        """What trials run on. Where nodes differ: the one with most GPUs, or else with the fewest cores."""
        return self

    def run(self, work: Callable[[], T], on_gpu: bool) -> T:
        """Does it where trials run."""
        return work()

    def at_once(self, share: Share) -> int:
        """How many trials run side by side."""
        by_cpu = self.cpus // share.cpus
        # A share of a GPU never spans two, so each GPU holds a whole number of trials.
        return min(by_cpu, self.gpus * int(1 / share.gpus + 1e-9)) if share.gpus else by_cpu


def this_machine() -> Machine:
    """What torch can use."""
    import torch

    return _machine([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())])


def at_a_glance() -> Machine:
    """The same without torch, in a moment: GPUs are those that the driver names, whether torch can use them or not."""
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        gpus = [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no driver, most often
        gpus = []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # numbers or ids; what follows anything else, such as -1, is hidden
        named = itertools.takewhile(re.compile(r"\s*(\d|GPU|MIG)").match, visible.split(","))
        gpus = gpus[: len(list(named))]
    return _machine(gpus)


def _machine(gpus: list[str]) -> Machine:
    return Machine(get_num_cpus(), len(gpus), (cpu.name(), *gpus))


def resolve(
    machine: Machine, gpus: float | None, cpus: int | None, *, space_gpus: float | None, space_cpus: int | None
) -> tuple[Share, bool]:
    """The share of a trial, and whether it is settled: as asked, else as the space says; no GPU where there is none.

    If it is not, it is to be measured, and the first is what does for a while: a whole GPU, or one core.
    ValueError if the machine can not give it: Ray itself would wait for it for ever.
    """
    if gpus is None:
        gpus = space_gpus if machine.gpus else 0.0
    cpus = space_cpus if cpus is None else cpus
    settled = gpus is not None and (gpus > 0 or cpus is not None)  # beside a GPU one core does
    share = Share(cpus or 1, 1.0 if gpus is None else gpus)
    if share.gpus and not machine.gpus:
        raise ValueError(f"--gpus-per-trial is {gpus:g}, but there is no CUDA GPU here; use --gpus-per-trial 0.")
    if share.cpus > machine.cpus:
        raise ValueError(f"A trial wants {share.cpus} CPU cores, but there are {machine.cpus}; lower --cpus-per-trial.")
    if not machine.at_once(share):  # a cluster, whose nodes differ
        raise ValueError(f"No node has {share.cpus} CPU cores and {share.gpus:g} of a GPU; a trial runs on one.")
    return share, settled
