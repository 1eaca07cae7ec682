"""ASHA by promotion instead of stopping: trials pause at each rung until they are among the best that reached it.

The search does not use it (docs/evidence.md says why); it is here for comparison on given configurations.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.replay.curves import Curve
from benchmarks.replay.simulate import metric
from tune.search.asha import REDUCTION
from tune.training.config import TrainConfig


@dataclass
class Promotion:
    """The rungs, and the trials that wait there."""

    rungs: tuple[int, ...]
    """Epochs, ascending."""

    patience: float
    """No trial is promoted from a rung before this fraction of all trials it will see have arrived."""

    trials: int
    """The total number of trials."""

    promoted: set[tuple[int, int]] = field(default_factory=set)
    """Pairs (epoch, trial)."""

    def __post_init__(self) -> None:
        self.values: dict[int, dict[int, float]] = {epoch: {} for epoch in self.rungs}
        """Epoch -> trial -> metric."""

    def next(self, *, idle: bool) -> int | None:
        """The trial to promote, from the highest rung that has one. `idle`: no others will arrive, so do not wait."""
        for i, epoch in reversed(list(enumerate(self.rungs))):
            values = self.values[epoch]
            patient = len(values) >= self.patience * self.trials / REDUCTION**i
            if not values or not (patient or idle):
                continue
            best_first = sorted(values, key=lambda trial: -values[trial])
            for trial in best_first[: max(1, len(values) // REDUCTION) if idle else len(values) // REDUCTION]:
                if (epoch, trial) not in self.promoted:
                    self.promoted.add((epoch, trial))
                    return trial
        return None


def search(
    curves: Mapping[TrainConfig, Curve],
    configs: Sequence[TrainConfig],
    table: Promotion,
    spared: TrainConfig | None,
    workers: int,
) -> tuple[dict[int, float], int]:
    """Trains the configurations in order -> the metrics of those that finished, the total number of epochs trained.

    The `spared` one does not wait at rungs.
    """
    clock: list[tuple[float, int]] = []  # (time, trial) at the end of its current epoch
    done = [0] * len(configs)  # epochs per trial
    finished: dict[int, float] = {}
    begun = 0

    def go_on(time: float, trial: int) -> None:
        heapq.heappush(clock, (time + curves[configs[trial]].cpu_s[done[trial]], trial))

    def fill(time: float) -> None:
        nonlocal begun
        while len(clock) < workers:
            trial = table.next(idle=False)
            if trial is None and begun < len(configs):
                trial, begun = begun, begun + 1
            elif trial is None:
                trial = None if clock else table.next(idle=True)
            if trial is None:
                return
            go_on(time, trial)

    fill(0.0)
    while clock:
        time, trial = heapq.heappop(clock)
        done[trial] += 1
        curve, epoch = curves[configs[trial]], done[trial]
        over = epoch == len(curve.val_acc)
        if epoch in table.rungs:
            table.values[epoch][trial] = -math.inf if over else metric(curve, epoch)  # ended at a rung, so it diverged
        waits = epoch in table.rungs and not over and configs[trial] != spared
        if not waits:
            table.promoted.add((epoch, trial))
        if over and not curve.diverged:
            finished[trial] = metric(curve, epoch)
        elif not over and not waits:
            go_on(time, trial)
        fill(time)
    return finished, sum(done)
