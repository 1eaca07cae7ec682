"""ASHA, the asynchronous successive halving of Li et al. (2018, arXiv:1810.05934), in its stopping variant.

`Asha` decides and knows neither Ray nor training; `AshaScheduler` lets Ray Tune ask it.

Why not Ray's AsyncHyperBandScheduler: it never stops a trial whose metric is NaN, counts reports instead of the
trial's epoch, and keeps its rungs where no restart finds them. Its defaults (grace 1, reduction 4) compare trials after
one epoch, which tells little of the last; docs/evidence.md compares rungs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

REDUCTION = 2


def default_grace(horizon: int) -> int:
    """Epochs before the first rung: about a tenth of the horizon, so that short searches stop trials too."""
    return max(1, round(horizon / 10))


@dataclass
class Asha:
    """At each rung a trial goes on if it is among the best 1/reduction of those that have reached it."""

    horizon: int
    """Epochs of a whole trial; nothing is decided there."""

    grace: int = 0
    """Epoch of the first rung; the next ones lie at grace x reduction, grace x reduction^2, ... 0: `default_grace`."""

    reduction: int = REDUCTION

    rungs: dict[int, dict[str, float]] = field(default_factory=dict)
    """Epoch -> trial -> its metric there."""

    stopped: set[str] = field(default_factory=set)
    """The trials that were told to stop."""

    def __post_init__(self) -> None:
        self.grace = level = self.grace or default_grace(self.horizon)
        while level < self.horizon:
            self.rungs.setdefault(level, {})
            level *= self.reduction

    def report(self, trial_id: str, epoch: int, value: float, *, spared: bool = False) -> bool:
        """Records the metric (larger is better) after `epoch`; False stops the trial.

        A trial is recorded on a rung only in the very epoch of the rung, and once: one that is trained again after a
        crash passes the rungs it stands on. A metric that is not finite is the worst, and stops the trial anywhere.
        One that is `spared` is recorded for the others to be compared with, and goes on.
        """
        if not math.isfinite(value):
            self.record(trial_id, epoch, value)
            self.stopped.add(trial_id)
            return False
        if not self.record(trial_id, epoch, value):
            return True
        rung = self.rungs[epoch]
        best_first = sorted(rung.values(), reverse=True)
        goes_on = spared or value >= best_first[max(1, len(rung) // self.reduction) - 1]
        if not goes_on:
            self.stopped.add(trial_id)
        return goes_on

    def record(self, trial_id: str, epoch: int, value: float) -> bool:
        """Records without deciding; False if `epoch` is no rung, or the trial stands on it already."""
        rung = self.rungs.get(epoch)
        if rung is None or trial_id in rung:
            return False
        rung[trial_id] = value if math.isfinite(value) else -math.inf
        return True

    def to_json(self) -> dict[str, Any]:
        """The table, as rungs.json holds it; null is a metric that was not finite."""
        return {
            "horizon": self.horizon,
            "grace": self.grace,
            "reduction": self.reduction,
            "rungs": {
                str(level): {trial_id: value if math.isfinite(value) else None for trial_id, value in rung.items()}
                for level, rung in sorted(self.rungs.items())
            },
            "stopped": sorted(self.stopped),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Asha:
        """The reverse. ValueError if it is no such table."""
        try:
            asha = cls(content["horizon"], content["grace"], content["reduction"], stopped=set(content["stopped"]))
            for level, rung in content["rungs"].items():
                for trial_id, value in rung.items():
                    asha.rungs[int(level)][str(trial_id)] = -math.inf if value is None else float(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError("rungs.json is damaged, or was written by another version of this project.") from error
        return asha


class AshaScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray ships no types for it
    """Asks `Asha` after each epoch of a trial."""

    def __init__(self, asha: Asha) -> None:
        super().__init__()
        self.asha = asha

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if result[self.metric] is None:  # val_robust_acc, which is measured at rungs
            return str(TrialScheduler.CONTINUE)
        # The reference is what the winner is compared with, and a whole trial early on.
        spared = trial.config["origin"] == "reference"
        goes_on = self.asha.report(trial.config["trial_id"], result["epoch"], result[self.metric], spared=spared)
        decision: str = TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        # Ray does not ask about a result that ends its trial. A diverged one belongs on its rung all the same; one that
        # the user or a budget ended does not, as it was not judged there, and will be when it goes on.
        if result["diverged"]:
            self.asha.record(trial.config["trial_id"], result["epoch"], -math.inf)
