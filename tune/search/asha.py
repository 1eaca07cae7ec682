"""ASHA, asynchronous successive halving (Li et al. 2018, arXiv:1810.05934), in its early-stopping variant.

`Asha` makes the decisions and knows neither Ray nor training; `AshaScheduler` connects it to Ray Tune.

Why not Ray's AsyncHyperBandScheduler: it never stops a trial whose metric is NaN, and loses its rungs in a restart. Its
defaults (reports instead of epochs, grace 1, reduction 4) compare trials after one report, which says little about the
last epoch; docs/evidence.md compares rungs.
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
    """At each rung a trial continues if it is among the best 1/reduction of those that have reached it."""

    horizon: int
    """Epochs of a full trial; it is not a rung."""

    grace: int = 0
    """Epoch of the first rung; the next are at grace x reduction, grace x reduction^2, ... 0 means `default_grace`."""

    reduction: int = REDUCTION

    rungs: dict[int, dict[str, float]] = field(default_factory=dict)
    """Epoch -> trial_id -> metric."""

    stopped: set[str] = field(default_factory=set)
    """The trials that it has stopped."""

    def __post_init__(self) -> None:
        self.grace = level = self.grace or default_grace(self.horizon)
        while level < self.horizon:
            self.rungs.setdefault(level, {})
            level *= self.reduction

    def report(self, trial_id: str, epoch: int, value: float, *, exempt: bool = False) -> bool:
        """Records the metric (larger is better) after `epoch`; returns False if the trial must stop.

        A trial is recorded at a rung only in exactly that epoch, and only once: retrained after a crash, it passes the
        rungs that have it already. A metric that is not finite counts as the worst, and stops the trial in any epoch.
        An `exempt` trial is recorded for comparison with others and always continues.
        """
        if not math.isfinite(value):
            self.record(trial_id, epoch, value)
            self.stopped.add(trial_id)
            return False
        if not self.record(trial_id, epoch, value):
            return True
        rung = self.rungs[epoch]
        best_first = sorted(rung.values(), reverse=True)
        goes_on = exempt or value >= best_first[max(1, len(rung) // self.reduction) - 1]
        if not goes_on:
            self.stopped.add(trial_id)
        return goes_on

    def record(self, trial_id: str, epoch: int, value: float) -> bool:
        """Records without deciding; False if `epoch` is not a rung, or the rung has the trial already."""
        rung = self.rungs.get(epoch)
        if rung is None or trial_id in rung:
            return False
        rung[trial_id] = value if math.isfinite(value) else -math.inf
        return True

    def to_json(self) -> dict[str, Any]:
        """The content of rungs.json; null is a metric that was not finite."""
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
        """The reverse of `to_json`. ValueError if `content` is malformed."""
        try:
            asha = cls(content["horizon"], content["grace"], content["reduction"], stopped=set(content["stopped"]))
            for level, rung in content["rungs"].items():
                for trial_id, value in rung.items():
                    asha.rungs[int(level)][str(trial_id)] = -math.inf if value is None else float(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError("rungs.json is damaged, or was written by another version of this project.") from error
        return asha


class AshaScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray ships no types for it
    """Ray's scheduler: asks `Asha` after each epoch of a trial."""

    def __init__(self, asha: Asha) -> None:
        super().__init__()
        self.asha = asha

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if result[self.metric] is None:  # val_robust_acc is measured at rungs only
            return str(TrialScheduler.CONTINUE)
        # The reference always runs to its end: the winner is compared with it.
        exempt = trial.config["origin"] == "reference"
        goes_on = self.asha.report(trial.config["trial_id"], result["epoch"], result[self.metric], exempt=exempt)
        decision: str = TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        # Ray does not ask about the last result of a trial. A diverged trial must be recorded at its rung nevertheless.
        # One that the user or a budget ended must not: it will be judged there when it resumes.
        if result["diverged"]:
            self.asha.record(trial.config["trial_id"], result["epoch"], -math.inf)
