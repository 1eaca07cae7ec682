"""Where a search stands, for those who show it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from tune.results import Origin, Row, Status, config_of
from tune.search.eta import Progress, Reached
from tune.search.listener import Listener
from tune.settings import Metric
from tune.training.config import TrainConfig


@dataclass
class Shown:
    """What is shown of a trial."""

    origin: Origin
    config: TrainConfig
    status: Status = "running"
    epoch: int = 0
    val_acc: float | None = None
    val_robust_acc: float | None = None
    """As measured last: at a rung, or at the trial's end."""

    @classmethod
    def of(cls, row: Row) -> Shown:
        """One of an earlier part of the search."""
        return cls(
            row["origin"], config_of(row), row["status"], row["epochs"], row["val_acc"], row.get("val_robust_acc")
        )

    def value(self, metric: Metric) -> float | None:
        return self.val_acc if metric == "val_acc" else self.val_robust_acc

    def reached(self) -> Reached:
        judged = self.origin != "reference" and self.status != "failed"
        return Reached(self.epoch, self.status in ("running", "interrupted"), judged)


class Standing(Listener):
    """The trials so far, the best of them, and how far the search is. Those who show it are built on this."""

    def __init__(
        self,
        title: str,
        progress: Progress,
        console: Console,
        metric: Metric,
        before: Mapping[str, Row],
        *,
        ranks: bool,
    ) -> None:
        """`before`: the rows of an earlier part. `ranks`: whether one trial can be the best, as a rerun can not."""
        self.title, self.progress, self.console = title, progress, console
        self.metric, self._ranks = metric, ranks
        self.shown = {trial_id: Shown.of(row) for trial_id, row in before.items()}
        self._began = time.monotonic()
        self._update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        """One that goes on keeps its epochs, until it comes to train one of them again."""
        before = self.shown.get(trial_id)
        self.shown[trial_id] = Shown(origin, config) if before is None else before
        self.shown[trial_id].status = "running"
        self.progress.trial_started()
        self._update()

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        shown = self.shown[trial_id]
        shown.epoch, shown.val_acc = metrics["epoch"], metrics["val_acc"]
        if metrics["val_robust_acc"] is not None:
            shown.val_robust_acc = metrics["val_robust_acc"]
        self.progress.epoch_ended()
        self._update()

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        self.shown[trial_id].status = status
        self._update()

    def best(self) -> str | None:
        """The trial that would be chosen now, by the rule of `choose`; None if there is none."""
        judged = [
            (trial_id, shown)
            for trial_id, shown in self.trials()
            # Without val_acc its last loss was not finite, whatever a rung has measured before.
            if None not in (shown.val_acc, shown.value(self.metric)) and shown.status not in ("diverged", "failed")
        ]
        return self.by_rank(judged)[0][0] if judged and self._ranks else None

    def by_rank(self, trials: Iterable[tuple[str, Shown]]) -> list[tuple[str, Shown]]:
        """Whole trials first, then by how far they came, then by the metric: the order in which one is chosen."""

        def rank(item: tuple[str, Shown]) -> tuple[int, bool, float, str]:
            trial_id, shown = item
            value = shown.value(self.metric)
            return -shown.epoch, value is None, -(value or 0.0), trial_id

        return sorted(trials, key=rank)

    def trials(self) -> list[tuple[str, Shown]]:
        """At once: a view may be drawn in a thread of its own."""
        return list(self.shown.items())

    def counts(self) -> Counter[Status]:
        return Counter(shown.status for _, shown in self.trials())

    def ended(self) -> int:
        """How many trials are over for good."""
        counts = self.counts()
        return counts.total() - counts["running"] - counts["interrupted"]

    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def _update(self) -> None:
        self.progress.update([shown.reached() for _, shown in self.trials()])


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
