"""The state of a running search, for those who display it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import InitVar, dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from tune.results import Origin, Row, Status, config_of
from tune.search.choose import rank
from tune.search.eta import Progress, TrialProgress
from tune.search.listener import Listener
from tune.settings import Metric
from tune.training.config import TrainConfig


@dataclass
class TrialState:
    """What a view shows of a trial."""

    origin: Origin
    config: TrainConfig
    status: Status = "running"
    epoch: int = 0
    val_acc: float | None = None
    val_robust_acc: float | None = None
    """The latest measurement: at a rung, or after the last epoch."""

    @classmethod
    def of(cls, row: Row) -> TrialState:
        """From a row of trials.parquet, when a search is resumed."""
        return cls(
            row["origin"], config_of(row), row["status"], row["epochs"], row["val_acc"], row.get("val_robust_acc")
        )

    def value(self, metric: Metric) -> float | None:
        return self.val_acc if metric == "val_acc" else self.val_robust_acc

    def progress(self) -> TrialProgress:
        exempt = self.origin == "reference" or self.status == "failed"
        return TrialProgress(self.epoch, self.status in ("running", "interrupted"), exempt)


@dataclass(eq=False)
class View(Listener):
    """The trials so far, the best of them, and the search's progress. Base of the live and the plain view."""

    title: str
    progress: Progress
    console: Console
    metric: Metric = "val_acc"
    """Decides which trial is the best."""

    before: InitVar[Mapping[str, Row] | None] = None
    """Rows of trials.parquet by trial_id, when the search is resumed."""

    ranks: bool = True
    """Whether one trial can be the best; reruns on other seeds are judged by their means instead."""

    load: Callable[[], str] = str
    """Describes the load of the machine; the default says nothing."""

    def __post_init__(self, before: Mapping[str, Row] | None) -> None:
        self.states = {trial_id: TrialState.of(row) for trial_id, row in (before or {}).items()}
        self._began = time.monotonic()
        self._update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        """A trial that resumes keeps its epochs until it trains one of them again."""
        self.states.setdefault(trial_id, TrialState(origin, config)).status = "running"
        self.progress.trial_started()
        self._update()

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        trial = self.states[trial_id]
        trial.epoch, trial.val_acc = metrics["epoch"], metrics["val_acc"]
        if metrics["val_robust_acc"] is not None:
            trial.val_robust_acc = metrics["val_robust_acc"]
        self.progress.epoch_ended()
        self._update()

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        self.states[trial_id].status = status
        self._update()

    def trial_failed(self, trial_id: str, error: str) -> None:
        self._print(f"trial {trial_id} failed and is tried once more: {error}", style="red")

    def best(self) -> str | None:
        """The trial that `choose` would pick now; None if there is none."""
        scored = [
            (trial_id, trial)
            for trial_id, trial in self.trials()
            # No val_acc means that the last loss was not finite, whatever an earlier rung measured.
            if None not in (trial.val_acc, trial.value(self.metric)) and trial.status not in ("diverged", "failed")
        ]
        return self.ranked(scored)[0][0] if scored and self.ranks else None

    def ranked(self, trials: Iterable[tuple[str, TrialState]]) -> list[tuple[str, TrialState]]:
        """Best first."""
        return sorted(trials, key=lambda item: rank(item[0], item[1].status, item[1].epoch, item[1].value(self.metric)))

    def trials(self) -> list[tuple[str, TrialState]]:
        """A snapshot, since a view may be drawn in its own thread."""
        return list(self.states.items())

    def counts(self) -> Counter[Status]:
        return Counter(trial.status for _, trial in self.trials())

    def ended(self) -> int:
        """How many trials are over for good."""
        counts = self.counts()
        return counts.total() - counts["running"] - counts["interrupted"]

    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def _print(self, text: str, style: str = "") -> None:
        line = f"[{self.elapsed()}] {text}"
        self.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def _update(self) -> None:
        self.progress.update([trial.progress() for _, trial in self.trials()])


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
