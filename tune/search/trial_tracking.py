"""Logs a search to W&B as a listener: one W&B run per trial, grouped by search.

Ray's own WandbLoggerCallback starts two actors and a W&B service per running trial, writes the API key into one of
Ray's logs, does not know a trial's status, and waits half an hour for uploads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from tune import tracking, wording
from tune.results import Origin, RunFolder, Status
from tune.search.listener import Listener
from tune.search.watchdog import Watchdog
from tune.settings import Settings
from tune.tracking import Tracker
from tune.training.config import TrainConfig


class TrialRuns(Listener):
    """Logs each trial as a W&B run, tagged with its status at the end."""

    def __init__(self, tracker: Tracker, folder: RunFolder) -> None:
        self._tracker = tracker
        self._id = tracking.run_ids(folder)
        self._logged: dict[str, int] = {}
        """The last epoch logged of each trial; a second attempt repeats some."""

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        about = config.to_dict() | {"origin": origin}
        self._tracker.start(self._id(trial_id), f"{config.model}-{trial_id}", "trial", about)

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        if metrics["epoch"] <= self._logged.get(trial_id, 0):
            return
        self._logged[trial_id] = metrics["epoch"]
        self._tracker.log(self._id(trial_id), tracking.epoch_rows(metrics, metrics["batch_loss"], metrics["steps"]))

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        self._tracker.end(self._id(trial_id), status)


@contextmanager
def tracked(settings: Settings, folder: RunFolder, console: Console) -> Iterator[Listener]:
    """Yields the listener that logs the search to W&B."""
    say = wording.printer(console)
    with tracking.opened(settings.wandb, settings, folder, say, lambda: Watchdog.interrupted) as tracker:
        yield TrialRuns(tracker, folder)
