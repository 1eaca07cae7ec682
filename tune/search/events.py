"""Translates Ray's callbacks into events of this project, and passes them to its listeners."""

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
from tune.search.retrying_searcher import RetryingSearcher, train_config
from tune.settings import METRICS

MEMORY, NODE = "NODE_OUT_OF_MEMORY", "NODE_DIED"

DEATHS = {
    "SYSTEM_ERROR": "its process died (killed, crashed, or out of memory)",
    MEMORY: "its process was killed because the machine ran low on memory",
    NODE: "its node died or could not be reached",
}
"""Ray's names for the death of a process, and their meaning."""

NODE_LOST = re.compile(r"its node has died|the actor's node was|The actor is temporarily unavailable")
"""Ray's messages about an actor on a lost node; the last one appears before Ray is sure of the loss."""


class Events(Callback):  # type: ignore[misc]  # Ray ships no types for it
    """Ray's callback object."""

    def __init__(self, listeners: list[Listener], asha: Asha | None, searcher: RetryingSearcher) -> None:
        """`searcher` knows whether a failed trial is tried again, as Ray notifies searchers before callbacks."""
        self.listeners = listeners
        self.asha = asha
        self.searcher = searcher
        self._running: set[str] = set()
        self._unwritten: OSError | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks to restore experiments. A search resumes from the result folder instead, and a terminal
        # cannot be pickled.
        return {"listeners": [], "asha": None, "searcher": None}

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self._unwritten is not None:
            raise self._unwritten
        self._tell(lambda listener: listener.tick())

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        trial_id, origin, config = trial.config["trial_id"], trial.config["origin"], train_config(trial.config)
        self._running.add(trial_id)
        self._tell(lambda listener: listener.trial_started(trial_id, origin, config))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        # A diverged trial reports 0 for the searchers; that is not a measurement.
        metrics = result | dict.fromkeys(METRICS) if result["diverged"] else result
        self._tell(lambda listener: listener.epoch_ended(trial.config["trial_id"], metrics))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended(trial.config["trial_id"], self._status(trial), None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        trial_id, error = trial.config["trial_id"], error_line(trial)
        if trial_id not in self._running:  # its actor did not even start
            self.on_trial_start(iteration, trials, trial)
        why = {"for_memory": error == DEATHS[MEMORY], "node_lost": error == DEATHS[NODE]}
        if self.searcher.note_failure(trial_id, **why):
            self._running.discard(trial_id)
            self._tell(lambda listener: listener.trial_failed(trial_id, error))
        else:
            self._ended(trial_id, "failed", error)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        # Ray ends running trials without a callback when the time budget or the user ends the search.
        for trial_id in sorted(self._running):
            self._ended(trial_id, "interrupted", None)

    def _ended(self, trial_id: str, status: Status, error: str | None) -> None:
        self._running.discard(trial_id)
        try:
            self._tell(lambda listener: listener.trial_ended(trial_id, status, error))
        except OSError as unwritten:  # a full disk; raised here, Ray would count it as a failure of the trial
            self._unwritten = unwritten

    def _tell(self, what: Callable[[Listener], None]) -> None:
        for listener in self.listeners:
            what(listener)

    def _status(self, trial: Trial) -> Status:
        last = trial.last_result
        if last.get("diverged"):
            return "diverged"
        if last.get("epoch") == trial.config["epochs"]:
            return "finished"
        if self.asha is not None and trial.config["trial_id"] in self.asha.stopped:
            return "stopped"
        return "interrupted"  # by the time budget or the user


def error_line(trial: Trial) -> str:
    """Why a trial failed, in one line: how its process died, or the exception that it raised."""
    if not trial.error_file:
        return "unknown error"
    last = Path(trial.error_file).read_text(errors="replace").rpartition("Failure #")[2]
    if NODE_LOST.search(last):
        return DEATHS[NODE]
    if death := re.search(r"Worker exit type: (\w+)", last):
        return DEATHS.get(death[1], f"its process died ({death[1]})")
    lines = [line.strip() for line in last.splitlines()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit)\b", line)]
    return next(iter([*reversed(named), *(line for line in reversed(lines) if line)]), "unknown error")
