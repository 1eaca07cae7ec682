"""The search for W&B: one run a trial, grouped by the search. Ray's callback tells it, as it tells the journal.

Ray's own WandbLoggerCallback has two actors and a service of W&B's for each trial that runs, writes the key into one of
Ray's logs, knows nothing of a trial's status, and waits half an hour for uploads.
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
    """A run for each trial, which ends with its status as a tag."""

    def __init__(self, tracker: Tracker, folder: RunFolder) -> None:
        self._tracker = tracker
        self._id = tracking.run_ids(folder)
        self._logged: dict[str, int] = {}
        """The last epoch of each trial: one that is tried again trains some anew."""

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
    """Who is to listen in the block, so that W&B shows the search."""
    say = wording.printer(console)
    with tracking.opened(settings.wandb, settings, folder, say, lambda: Watchdog.interrupted) as tracker:
        yield TrialRuns(tracker, folder)
