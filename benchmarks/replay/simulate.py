"""Simulates a search without training: curves replace trials, and a virtual clock replaces time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.replay.curves import Curve
from tune.results import Status
from tune.training.config import TrainConfig

Answer = Callable[[TrainConfig], Curve]
"""The curve of a configuration if it were trained to the end."""


class Method(Protocol):
    """A search method, called like Ray Tune's searcher and scheduler and in the same order."""

    def suggest(self) -> tuple[str, TrainConfig] | None:
        """The next trial for an idle worker, or None."""

    def report(self, trial_id: str, epoch: int, value: float) -> bool:
        """The metric of an epoch; False stops the trial. Not called for a trial's last epoch."""

    def ended(self, trial_id: str, epoch: int, value: float, status: Status) -> None:
        """The trial has ended, with the metric of its last epoch."""


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch of a trial."""

    time: float
    """Seconds on the virtual clock."""

    trial_id: str
    epoch: int
    value: float
    status: Status
    """`running` unless the trial ended with this epoch."""


@dataclass
class Replay:
    """What happened in a simulated search."""

    configs: dict[str, TrainConfig] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    """In order of their end."""

    def last(self) -> dict[str, Epoch]:
        """The last epoch of each trial."""
        return {item.trial_id: item for item in self.epochs}


def replay(
    method: Method,
    answer: Answer,
    *,
    workers: int = 1,
    trials: int | None = None,
    epochs: int | None = None,
    speeds: Sequence[float] | None = None,
) -> Replay:
    """Searches until `trials` have started and ended, `epochs` have been trained in total, or the method has no more.

    An epoch takes its recorded time divided by the worker's speed, 1 by default. Trials in progress when `epochs` are
    used up are cut off: they remain `running`, and the method is not told.
    """
    assert speeds is None or len(speeds) == workers
    found = Replay()
    clock: list[tuple[float, int, str, int]] = []  # (time, worker, trial, epoch) at the end of that epoch
    curves: dict[str, Curve] = {}

    def start(time: float, worker: int) -> None:
        if trials is not None and len(found.configs) >= trials:
            return
        if (proposal := method.suggest()) is None:
            return
        trial_id, config = proposal
        found.configs[trial_id] = config
        curves[trial_id] = answer(config)
        go_on(time, worker, trial_id, 1)

    def go_on(time: float, worker: int, trial_id: str, epoch: int) -> None:
        seconds = curves[trial_id].cpu_s[epoch - 1] / (1.0 if speeds is None else speeds[worker])
        heapq.heappush(clock, (time + seconds, worker, trial_id, epoch))

    for worker in range(workers):
        start(0.0, worker)
    while clock and (epochs is None or len(found.epochs) < epochs):
        time, worker, trial_id, epoch = heapq.heappop(clock)
        curve = curves[trial_id]
        value = metric(curve, epoch)
        status: Status = "running"
        if epoch == len(curve.val_acc):
            status = "diverged" if curve.diverged else "finished"
        elif not method.report(trial_id, epoch, value):
            status = "stopped"
        found.epochs.append(Epoch(time, trial_id, epoch, value, status))
        if status == "running":
            go_on(time, worker, trial_id, epoch + 1)
        else:
            method.ended(trial_id, epoch, value, status)
            start(time, worker)
    return found


def metric(curve: Curve, epoch: int) -> float:
    """Validation accuracy after `epoch`, as a trial reports it: 0 if the training diverged."""
    value = curve.val_acc[epoch - 1]
    return 0.0 if value is None else value
