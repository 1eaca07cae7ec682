"""What happens in a search, told to whoever listens: Ray's callbacks in terms of the project."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tune.results import Status
from tune.search.asha import Asha
from tune.search.listener import Listener
from tune.training.config import TrainConfig


class CanNotTell(BaseException):
    """A listener could not write: a full disk, or nobody who reads the output.

    No Exception: Tune takes one of those in a callback for the failure of the trial that it tells of.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Events(Callback):  # type: ignore[misc]  # Ray ships no types for it
    """Translates Ray's callbacks and passes them on."""

    def __init__(self, listeners: list[Listener], asha: Asha | None, tried_again: Callable[[str], bool]) -> None:
        """`tried_again` knows whether a trial that has just failed has another attempt: Ray tells searchers first."""
        self.listeners = listeners
        self.asha = asha
        self.tried_again = tried_again
        self._running: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles its callbacks to restore an experiment by itself. A search is resumed from the result folder
        # instead, and a terminal can not be pickled.
        return {"listeners": [], "asha": None, "tried_again": None}

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._tell(lambda listener: listener.tick())

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        values = dict(trial.config)
        trial_id, origin = values.pop("trial_id"), values.pop("origin")
        self._running.add(trial_id)
        config = TrainConfig.from_dict(values)
        self._tell(lambda listener: listener.trial_started(trial_id, origin, config))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._tell(lambda listener: listener.epoch_ended(trial.config["trial_id"], result))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended(trial.config["trial_id"], self._status(trial), None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        trial_id, error = trial.config["trial_id"], error_line(trial)
        if trial_id not in self._running:  # its actor did not even come up
            self.on_trial_start(iteration, trials, trial)
        if self.tried_again(trial_id):
            self._running.discard(trial_id)
            self._tell(lambda listener: listener.trial_failed(trial_id, error))
        else:
            self._ended(trial_id, "failed", error)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        # Ray ends those that run without a word when the time budget, or the user, ends the search.
        for trial_id in sorted(self._running):
            self._ended(trial_id, "interrupted", None)

    def _ended(self, trial_id: str, status: Status, error: str | None) -> None:
        self._running.discard(trial_id)
        self._tell(lambda listener: listener.trial_ended(trial_id, status, error))

    def _tell(self, what: Callable[[Listener], None]) -> None:
        try:
            for listener in self.listeners:
                what(listener)
        except OSError as error:
            raise CanNotTell(error) from error

    def _status(self, trial: Trial) -> Status:
        last = trial.last_result
        if last.get("diverged"):
            return "diverged"
        if last.get("epoch") == trial.config["epochs"]:
            return "finished"
        if self.asha is not None and trial.config["trial_id"] in self.asha.stopped:
            return "stopped"
        return "interrupted"  # the time budget, or the user, ended it


DEATHS = {
    "SYSTEM_ERROR": "its process died (killed, crashed, or out of memory)",
    "NODE_OUT_OF_MEMORY": "its process was ended, since the machine ran low on memory",
}
"""What Ray calls the end of a process, and what that means."""


def error_line(trial: Trial) -> str:
    """What went wrong in a failed trial, in a line: how its process ended, or the exception that it raised."""
    if not trial.error_file:
        return "unknown error"
    last = Path(trial.error_file).read_text(errors="replace").rpartition("Failure #")[2]
    if death := re.search(r"Worker exit type: (\w+)", last):
        return DEATHS.get(death[1], f"its process died ({death[1]})")
    lines = [line.strip() for line in last.splitlines()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit)\b", line)]
    return next(iter([*reversed(named), *(line for line in reversed(lines) if line)]), "unknown error")
