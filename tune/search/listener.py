"""Who hears of what happens in a search: the base of the journal, the view and others. No Ray here."""

from __future__ import annotations

from typing import Any

from tune.results import Origin, Status
from tune.training.config import TrainConfig


class Listener:
    """Hears of every trial, in the driver; does nothing."""

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        """It begins, or goes on after it was interrupted or failed."""

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        """`metrics` as `trial.metrics` makes them; of a trial that has diverged without its accuracies."""

    def trial_failed(self, trial_id: str, error: str) -> None:
        """It failed, and is tried once more: `trial_started` follows."""

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        """It is over, for this part of the search at least."""

    def tick(self) -> None:
        """Called some times a second while the search runs."""
