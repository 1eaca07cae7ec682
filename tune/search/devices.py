"""A machine's CPU cores and GPUs, and the share of them that a trial gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ray._private.thirdparty import pynvml
from ray._private.utils import get_num_cpus  # as Ray counts them, within a container's limit

from tune import cpu
from tune.search import nvml
from tune.wording import counted

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The resources of one trial."""

    cpus: int
    gpus: float

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device("cuda" if self.gpus else "cpu")


@dataclass(frozen=True)
class Machine:
    """The resources of a machine."""

    cpus: int
    gpus: int
    names: tuple[str, ...]
    """The CPU (a node of a cluster omits it; a cluster describes itself), then one name per GPU."""

    def node(self, on_gpu: bool) -> Machine:
        """The machine itself. Of a cluster, the node with most GPUs, or for CPU trials the one with fewest cores."""
        return self

    def run(self, work: Callable[[], T], on_gpu: bool) -> T:
        """Runs `work` where trials run."""
        return work()

    def at_once(self, share: Share) -> int:
        """How many trials can run at once."""
        by_cpu = self.cpus // share.cpus
        # A share never spans two GPUs, so each GPU holds a whole number of trials.
        return min(by_cpu, self.gpus * int(1 / share.gpus + 1e-9)) if share.gpus else by_cpu


def this_machine() -> Machine:
    """This machine, with the GPUs that torch can use."""
    import torch

    return _machine([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())])


def at_a_glance() -> Machine:
    """The same without importing torch: lists the GPUs that the driver reports, whether torch can use them or not."""
    return _machine([str(pynvml.nvmlDeviceGetName(handle)) for handle in nvml.visible()])


def _machine(gpu_names: list[str]) -> Machine:
    return Machine(get_num_cpus(), len(gpu_names), (cpu.name(), *gpu_names))


def resolve(
    machine: Machine, gpus: float | None, cpus: int | None, *, space_gpus: float | None, space_cpus: int | None
) -> tuple[Share, bool]:
    """A trial's share, and whether it is settled: as asked, else as the space says; no GPU if there is none.

    If it is not settled it has to be measured, and the returned share, a whole GPU or one core, is provisional.
    ValueError if the machine lacks the resources; Ray itself would wait for them forever.
    """
    if gpus is None:
        gpus = space_gpus if machine.gpus else 0.0
    cpus = space_cpus if cpus is None else cpus
    settled = gpus is not None and (gpus > 0 or cpus is not None)  # beside a GPU one core is enough
    share = Share(cpus or 1, 1.0 if gpus is None else gpus)
    if share.gpus and not machine.gpus:
        raise ValueError(f"--gpus-per-trial is {gpus:g}, but there is no CUDA GPU here; use --gpus-per-trial 0.")
    if share.cpus > machine.cpus:
        raise ValueError(f"A trial needs {share.cpus} CPU cores, but there are {machine.cpus}; lower --cpus-per-trial.")
    if not machine.at_once(share):  # a cluster, whose nodes differ
        raise ValueError(
            f"No node has {counted(share.cpus, 'CPU core')} and {share.gpus:g} of a GPU; a trial runs on a single node."
        )
    return share, settled
