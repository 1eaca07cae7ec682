"""Measures how many trials of a space should share a device. The result is cached for later searches.

As in a search, each trial is a process (`training/throughput.py`), but without Ray, which takes longer to start than
the measurement takes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ray._private.utils import get_system_memory, get_used_memory  # a container's limit included

import tune
from tune import domains, files
from tune.results import now
from tune.search import packing
from tune.search.devices import Machine
from tune.search.packing import Measured, Packing
from tune.space import SearchSpace
from tune.training.config import Augmentation, TrainConfig
from tune.training.image_size import preprocessing_of
from tune.training.side_by_side import CannotMeasure, TrainingProcesses, training_command

SECONDS = 3.0
"""Training time per packing."""

CPU_BATCH = 32
"""The largest batch on a CPU. A larger step of ResNet-50 takes minutes, and the best packing is the same at batch
sizes 8 and 128 (docs/log.md)."""

MAX_WAITING = 0.2
"""If a process waited longer for a core, as a share of the time, others disturbed the measurement. Two trials on two
cores looked 44 times as fast as one when other processes kept the share at 0.8."""


@dataclass(frozen=True)
class Calibration:
    """The measurements for one space on one kind of device."""

    of: dict[str, Any]
    """All that the result depends on; the cache key."""

    measured: tuple[Measured, ...]
    total_mb: float
    """Memory available to all trials together."""

    when: str
    """UTC, ISO 8601."""

    @property
    def best(self) -> Packing:
        return packing.best(self.measured, self.total_mb).packing

    @property
    def disturbed(self) -> bool:
        """Whether other processes kept the cores busy meanwhile, so that the result may be far off."""
        return any(item.waiting > MAX_WAITING for item in self.measured)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Calibration:
        measured = (Measured(**item | {"packing": Packing(**item["packing"])}) for item in values["measured"])
        return cls(values["of"], tuple(measured), values["total_mb"], values["when"])

    def line(self) -> str:
        """The result in one line."""
        alone = self.measured[0].images_per_s
        tried = ", ".join(f"{item.packing.trials}: {item.images_per_s / alone:.2f}" for item in self.measured)
        return (
            f"{self.best.trials} at once on {self.of['device']}: measured {self.when}, "
            f"relative images/s by number of {self.of['config']['model']} at once: {tried}"
        )


class Calibrator:
    """Measures one space on one kind of device."""

    def __init__(self, space: SearchSpace, machine: Machine, *, on_gpu: bool, cpus: int) -> None:
        """`cpus`: cores of a trial on a GPU. On a CPU the measurement decides them."""
        self.on_gpu = on_gpu
        self.config = largest(space)
        if on_gpu:
            node = machine.node(True)
            self.packings = packing.on_gpu(node.cpus // node.gpus, cpus)
            device = node.names[-node.gpus]
        else:
            self.packings = packing.on_cpu(machine.node(False).cpus)
            device = machine.names[0]
            self.config = replace(self.config, batch_size=min(self.config.batch_size, CPU_BATCH))
        self.of = {
            "device": device,
            "packings": [asdict(item) for item in self.packings],
            "config": self.config.to_dict(),
            "torch": importlib.metadata.version("torch"),
            "version": tune.__version__,
        }

    def cached(self) -> Calibration | None:
        """The cached measurement of an earlier search; None if there is none."""
        try:
            found = Calibration.from_dict(json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return found if found.of == self.of and found.measured else None

    def measure(self) -> Calibration:
        """Takes about ten seconds. CannotMeasure if not even a single trial runs."""
        measured: list[Measured] = []
        total_mb = (get_system_memory() - get_used_memory()) / 2**20
        device = "cuda" if self.on_gpu else "cpu"
        command = training_command(self.config, device)
        with tempfile.TemporaryFile() as errors, TrainingProcesses(command, errors) as trials:
            for item in self.packings:
                if measured and not packing.fits(_expected_mb(measured[-1], item.trials), total_mb):
                    break
                try:
                    answers = trials.run(item.trials, item.cpus, SECONDS)
                except CannotMeasure:
                    if not measured:
                        raise
                    break  # most likely out of memory
                if measured and any(answer["split"] for answer in answers):
                    break  # batches no longer fit
                if self.on_gpu:
                    total_mb = answers[0]["total_mb"]
                memory = [answer["memory_mb"] for answer in answers]
                speed = sum(answer["images_per_s"] for answer in answers)
                waiting = max(answer["waiting"] for answer in answers)
                measured.append(Measured(item, speed, max(memory) if self.on_gpu else sum(memory), waiting))
        return Calibration(self.of, tuple(measured), total_mb, now())

    def cache(self, calibration: Calibration) -> None:
        """Caches it for later searches of this user on this machine."""
        with suppress(OSError):  # without the cache it is measured again next time
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic_file(self.path) as file:
                file.write(json.dumps(calibration.to_dict(), indent=2).encode())

    @property
    def path(self) -> Path:
        """The cache file."""
        digest = hashlib.sha256(json.dumps(self.of, sort_keys=True).encode()).hexdigest()
        return files.cache() / "packings" / f"{self.config.model}-{digest[:16]}.json"


def largest(space: SearchSpace) -> TrainConfig:
    """The most demanding configuration of a space: its reference with the largest batch and images.

    Includes the consistency loss and the costliest policy for its views, if the space has them. The learning rate is
    so low that training on noise does not diverge.
    """

    def values(name: str) -> list[Any]:
        """The bounds or categories of a parameter in all branches; empty if the space lacks it."""
        leaves = domains.leaves(space.parameters)
        return [value for leaf, domain in leaves if leaf == name for value in domains.extremes(domain)]

    config = space.config(space.reference, epochs=space.epochs, seed=0)
    config = replace(config, batch_size=max(values("batch_size")), lr=1e-6, epochs=10_000, freeze_epochs=0)
    tried = [replace(config, image_size=size) for size in (config.image_size, *values("image_size"))]
    config = max(tried, key=lambda item: preprocessing_of(item).image_size)
    if not (jsd := max([config.jsd, *values("jsd")])):
        return config
    held = {config.augmentation, *values("augmentation")}
    policies: list[Augmentation] = ["augmix", "randaugment", "trivialaugment"]  # costliest first
    augmentation = next((policy for policy in policies if policy in held), config.augmentation)
    distortion = max([config.distortion, *values("distortion")])
    return replace(config, jsd=jsd, augmentation=augmentation, distortion=distortion)


def _expected_mb(last: Measured, trials: int) -> float:
    """The memory of `trials` trials, extrapolated from the last packing."""
    return last.memory_mb / last.packing.trials * trials
