"""What a search prints where there is no terminal: one line per event."""

from __future__ import annotations

from typing import Any, Self

from tune import wording
from tune.results import Origin, Status
from tune.search.view import View, percent
from tune.training.config import TrainConfig


class PlainView(View):
    """One line per event, without control codes."""

    _best: str | None = None
    """As of the last trial that ended."""

    def __enter__(self) -> Self:
        self._best = self.best()
        self._print(f"{self.title}; {self._progress()}")
        return self

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        super().trial_started(trial_id, origin, config)
        self._print(f"trial {trial_id} ({origin}) starts: {wording.settings(config)}")

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        super().epoch_ended(trial_id, metrics)
        trial = self.states[trial_id]
        accuracy = self._accuracy(metrics["val_acc"], metrics["val_robust_acc"]) or "the loss is not finite"
        self._print(
            f"trial {trial_id} epoch {trial.epoch}/{trial.config.epochs}: {accuracy}, {metrics['wall_s']:.1f} s"
        )

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        super().trial_ended(trial_id, status, error)
        trial, best = self.states[trial_id], self.best()
        parts = [f"trial {trial_id} {status} after epoch {trial.epoch}"]
        if accuracy := self._accuracy(trial.val_acc, trial.val_robust_acc):
            parts.append(accuracy)
        if best == trial_id != self._best:
            parts.append("the best so far")
        self._best = best
        self._print(", ".join(parts) + (f": {error}" if error else f"; {self._progress()}"))

    def _accuracy(self, val_acc: float | None, val_robust_acc: float | None) -> str:
        """Empty if there is no accuracy: the trial has diverged, or failed in its first epoch."""
        if val_acc is None:
            return ""
        robust = self.metric == "val_robust_acc" and val_robust_acc is not None
        return f"val_acc {percent(val_acc)} %" + (f", val_robust_acc {percent(val_robust_acc)} %" if robust else "")

    def _progress(self) -> str:
        return self.progress.in_words(self.ended())
