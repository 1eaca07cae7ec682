"""The interface of those who follow a search: the journal, the views and others. Independent of Ray."""

from __future__ import annotations

from typing import Any

from tune.results import Origin, Status
from tune.training.config import TrainConfig


class Listener:
    """Is told about every trial, in the driver. The methods of this base class do nothing."""

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        """It starts, or resumes after an interruption or failure."""

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        """`metrics` as returned by `Trial.step`, but with accuracies of None if the trial has diverged."""

    def trial_failed(self, trial_id: str, error: str) -> None:
        """It failed and is tried once more: `trial_started` follows."""

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        """It has ended, at least for this session of the search."""

    def tick(self) -> None:
        """Called several times per second while the search runs."""
