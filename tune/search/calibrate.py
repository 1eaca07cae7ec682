"""Measures how many trials of a space share this machine's device best, once: the result is kept for later searches.

Each trial is a process of its own, as in a search (`training/throughput.py`), without Ray, which would take longer to
start than this takes.
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
from tune import domains
from tune.files import cache, written
from tune.results import now
from tune.search import packing
from tune.search.devices import Machine
from tune.search.packing import Measured, Packing
from tune.space import SearchSpace
from tune.training.architecture import preprocessing_of
from tune.training.config import Augmentation, TrainConfig
from tune.training.side_by_side import CannotMeasure, Trials, of_ours

SECONDS = 3.0
"""Of training, a packing."""

CPU_BATCH = 32
"""On a CPU: a step of ResNet-50 at more takes minutes, and the best packing is the same at 8 and 128 (docs/log.md)."""


@dataclass(frozen=True)
class Calibration:
    """What was measured, and of what."""

    of: dict[str, Any]
    """All that the result depends on, by which it is found again."""

    measured: tuple[Measured, ...]
    total_mb: float
    """Memory that there was."""

    when: str

    @property
    def best(self) -> Packing:
        return packing.best(self.measured, self.total_mb).packing

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Calibration:
        measured = (Measured(**item | {"packing": Packing(**item["packing"])}) for item in values["measured"])
        return cls(values["of"], tuple(measured), values["total_mb"], values["when"])

    def line(self) -> str:
        """For people."""
        alone = self.measured[0].images_per_s
        tried = ", ".join(f"{item.packing.trials}: {item.images_per_s / alone:.2f}" for item in self.measured)
        return (
            f"{self.best.trials} at once on {self.of['device']}: measured {self.when}, "
            f"images/s of so many {self.of['config']['model']} side by side, one alone is 1: {tried}"
        )


class Calibrator:
    """For one space on one kind of device."""

    def __init__(self, space: SearchSpace, machine: Machine, *, on_gpu: bool, cpus: int) -> None:
        """`cpus`: of a trial on a GPU; on a CPU that is what is looked for."""
        self.on_gpu = on_gpu
        self.config = largest(space)
        if on_gpu:
            self.packings = packing.on_gpu(machine.node(True).cpus // machine.node(True).gpus, cpus)
        else:
            self.packings = packing.on_cpu(machine.node(False).cpus)
            self.config = replace(self.config, batch_size=min(self.config.batch_size, CPU_BATCH))
        self.of = {
            "device": machine.names[1 if on_gpu else 0],
            "packings": [asdict(item) for item in self.packings],
            "config": self.config.to_dict(),
            "torch": importlib.metadata.version("torch"),
            "version": tune.__version__,
        }

    def kept(self) -> Calibration | None:
        """What an earlier search has measured of the same."""
        try:
            found = Calibration.from_dict(json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return found if found.of == self.of and found.measured else None

    def measure(self) -> Calibration:
        """Takes some ten seconds. CannotMeasure if not even one trial runs."""
        measured: list[Measured] = []
        total_mb = (get_system_memory() - get_used_memory()) / 2**20
        device = "cuda" if self.on_gpu else "cpu"
        with tempfile.TemporaryFile() as errors, Trials(of_ours(self.config, device), errors) as trials:
            for item in self.packings:
                if measured and not packing.fits(_foretold(measured[-1], item.trials), total_mb):
                    break
                try:
                    answers = trials.run(item.trials, item.cpus, SECONDS)
                except CannotMeasure:
                    if not measured:
                        raise
                    break  # out of memory, most likely
                if measured and any(answer["split"] for answer in answers):
                    break  # batches no longer fit
                if self.on_gpu:
                    total_mb = answers[0]["total_mb"]
                memory = [answer["memory_mb"] for answer in answers]
                speed = sum(answer["images_per_s"] for answer in answers)
                measured.append(Measured(item, speed, max(memory) if self.on_gpu else sum(memory)))
        return Calibration(self.of, tuple(measured), total_mb, now())

    def keep(self, calibration: Calibration) -> None:
        """For later searches of this user on this machine."""
        with suppress(OSError):  # else it is measured again next time
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written(self.path) as file:
                file.write(json.dumps(calibration.to_dict(), indent=2).encode())

    @property
    def path(self) -> Path:
        """Where it is kept."""
        digest = hashlib.sha256(json.dumps(self.of, sort_keys=True).encode()).hexdigest()
        return cache() / "packings" / f"{self.config.model}-{digest[:16]}.json"


def largest(space: SearchSpace) -> TrainConfig:
    """The reference at the largest batch and images of the space, with a rate at which noise does no harm.

    With AugMix's consistency loss if the space holds it, and with what makes its three views differ there.
    """

    def values(name: str) -> list[Any]:
        """The ends or categories of a parameter, in all branches; empty if the space has none of that name."""
        leaves = domains.leaves(space.parameters)
        return [value for leaf, domain in leaves if leaf == name for value in domains.extremes(domain)]

    config = space.config(space.reference, epochs=space.epochs, seed=0)
    config = replace(config, batch_size=max(values("batch_size")), lr=1e-6, epochs=10_000, freeze_epochs=0)
    tried = [replace(config, image_size=size) for size in (config.image_size, *values("image_size"))]
    config = max(tried, key=lambda item: preprocessing_of(item).image_size)
    if not (jsd := max([config.jsd, *values("jsd")])):
        return config
    held = {config.augmentation, *values("augmentation")}
    policies: list[Augmentation] = ["augmix", "randaugment", "trivialaugment"]  # the costliest first
    augmentation = next((policy for policy in policies if policy in held), config.augmentation)
    distortion = max([config.distortion, *values("distortion")])
    return replace(config, jsd=jsd, augmentation=augmentation, distortion=distortion)


def _foretold(last: Measured, trials: int) -> float:
    """MB that so many will take."""
    return last.memory_mb / last.packing.trials * trials
