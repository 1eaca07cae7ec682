"""What a person sees while a search runs: a live view in a terminal, a plain line an event anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from rich.console import Console

from tune import wording
from tune.results import Origin, Row, Status
from tune.search.eta import Progress
from tune.search.live import LiveView
from tune.search.standing import Standing, percent
from tune.settings import Metric
from tune.training.config import TrainConfig


class PlainView(Standing):
    """One line an event, no control codes."""

    _best: str | None = None
    """As of the last trial that ended."""

    def __enter__(self) -> Self:
        self._best = self.best()
        self._say(f"{self.title}; {self._progress()}")
        return self

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        super().trial_started(trial_id, origin, config)
        self._say(f"trial {trial_id} ({origin}) starts: {wording.settings(config)}")

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        super().epoch_ended(trial_id, metrics)
        shown = self.shown[trial_id]
        accuracy = self._accuracy(metrics["val_acc"], metrics["val_robust_acc"]) or "the loss is not finite"
        self._say(f"trial {trial_id} epoch {shown.epoch}/{shown.config.epochs}: {accuracy}, {metrics['wall_s']:.1f} s")

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        super().trial_ended(trial_id, status, error)
        shown, best = self.shown[trial_id], self.best()
        parts = [f"trial {trial_id} {status} after epoch {shown.epoch}"]
        if accuracy := self._accuracy(shown.val_acc, shown.val_robust_acc):
            parts.append(accuracy)
        if best == trial_id != self._best:
            parts.append("the best so far")
        self._best = best
        self._say(", ".join(parts) + (f": {error}" if error else f"; {self._progress()}"))

    def trial_failed(self, trial_id: str, error: str) -> None:
        self._say(f"trial {trial_id} failed, and is tried once more: {error}")

    def _accuracy(self, val_acc: float | None, val_robust_acc: float | None) -> str:
        """Empty if the trial has diverged."""
        if val_acc is None:
            return ""
        robust = self.metric == "val_robust_acc" and val_robust_acc is not None
        return f"val_acc {percent(val_acc)} %" + (f", val_robust_acc {percent(val_robust_acc)} %" if robust else "")

    def _progress(self) -> str:
        return self.progress.in_words(self.ended())

    def _say(self, text: str) -> None:
        self.console.print(f"[{self.elapsed()}] {text}", markup=False, highlight=False, soft_wrap=True)


def view(
    title: str,
    progress: Progress,
    console: Console,
    metric: Metric = "val_acc",
    *,
    before: Mapping[str, Row] | None = None,
    load: Callable[[], str] = str,
    ranks: bool = True,
) -> PlainView | LiveView:
    """The view that suits where the output goes.

    `metric`: what the best is the best by; `before`: the rows of an earlier part of the search; `load` says what the
    machine is doing, nothing by default; `ranks`: whether one of the trials can be the best.
    """
    if console.is_terminal:
        return LiveView(title, progress, console, metric, before or {}, ranks=ranks, load=load)
    return PlainView(title, progress, console, metric, before or {}, ranks=ranks)
