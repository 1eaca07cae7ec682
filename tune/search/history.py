"""The history of a search, loaded from its result folder in order to resume.

A search resumes from its folder, not from Ray's state: Ray saves that every ten seconds at best, loses ASHA's rungs,
and cannot add trials. Our files are written at every decision, before it takes effect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tune.results import ENDED, Origin, Row, RunFolder, check_origin, config_of, now
from tune.search.asha import Asha
from tune.search.proposals import HeadStart, Known, score
from tune.settings import Settings
from tune.training.config import TrainConfig

KEPT = ("started", "spent_s", "repeats_refused", "used_up")
"""Keys of experiment.json about the search as a whole, not only its current session."""


@dataclass(frozen=True)
class History:
    """A search so far. Trials are numbered in the order of proposal."""

    asha: Asha | None = None
    """None without early stopping."""

    about: dict[str, Any] = field(default_factory=dict)
    """What is kept of experiment.json when the search resumes."""

    known: dict[int, Known] = field(default_factory=dict)
    """All proposals."""

    unfinished: dict[int, tuple[Origin, TrainConfig]] = field(default_factory=dict)
    """The proposals whose training has not ended."""

    trials: dict[str, Row] = field(default_factory=dict)
    """The rows of trials.parquet, by trial_id."""

    epochs: list[Row] = field(default_factory=list)
    """The rows of epochs.parquet."""

    head_start: HeadStart = field(default_factory=HeadStart)
    """What a warm start knew before the first trial."""

    @property
    def ended(self) -> int:
        """How many trials will not resume."""
        return sum(row["status"] in ENDED for row in self.trials.values())

    def known_epochs(self) -> dict[str, int]:
        """For each trial that will resume, the last epoch up to which its row and every rung have it."""
        return {
            trial_id: min([row["epochs"], *(rung - 1 for rung in self._missed(trial_id, row["epochs"]))])
            for trial_id, row in self.trials.items()
            if row["status"] not in ENDED
        }

    def _missed(self, trial_id: str, epochs: int) -> list[int]:
        rungs = {} if self.asha is None else self.asha.rungs
        return [epoch for epoch, rung in rungs.items() if epoch <= epochs and trial_id not in rung]


def empty(settings: Settings) -> History:
    """The history of a new search."""
    return History(asha=Asha(settings.max_epochs) if settings.scheduler == "asha" else None)


def load(folder: RunFolder, metric: str, data_fingerprint: str, weights_sha256: str | None = None) -> History:
    """Loads the folder. ValueError if it is damaged, or belongs to other images or weights."""
    about = folder.read_json("experiment.json")
    if missing := [name for name in (*KEPT, "data_fingerprint", "weights_sha256") if name not in about]:
        raise ValueError(f"experiment.json has no {missing[0]}; it was written by another version of this project.")
    check_origin(folder, data_fingerprint, weights_sha256)
    folder.read_json("best.json")  # read later; if it is damaged, fail now
    rungs = folder.read_json("rungs.json")
    history = History(
        asha=Asha.from_json(rungs) if rungs else None,
        about={name: about[name] for name in KEPT}
        | {"calibration": about.get("calibration"), "resumed": [*about.get("resumed", []), now()]},
        epochs=folder.read_rows("epochs.parquet"),
    )
    for row in folder.read_rows("trials.parquet"):
        trial_id = row["trial_id"]
        number, config = int(trial_id), config_of(row)
        if row["status"] not in ENDED and history.asha is not None and trial_id in history.asha.stopped:
            row["status"] = "stopped"  # it crashed between the decision and its execution
        history.trials[trial_id] = row
        if row["status"] == "diverged" and history.asha is not None:
            history.asha.record(trial_id, row["epochs"], -math.inf)  # it may have crashed between writing two files
        if row["status"] in ENDED:
            history.known[number] = Known(config, score_of(row, metric))
        else:
            row["status"] = "interrupted"
            history.known[number] = Known(config)
            history.unfinished[number] = (row["origin"], config)
    return history


def nothing_to_do(history: History, settings: Settings) -> str:
    """Why there is nothing left to do; empty if there is."""
    if history.ended >= settings.trials:
        return f"All {history.ended} trials have ended; raise --trials to add more."
    if settings.time_budget_s is not None and history.about.get("spent_s", 0) >= settings.time_budget_s:
        return f"The time budget of {settings.time_budget_s:g} s is used up; raise --time-budget to continue."
    return ""


def score_of(row: Row, metric: str) -> float | None:
    """The searcher's score of a trial that has ended; None if it failed."""
    if row["status"] == "failed":
        return None
    return score(row["epochs"], row[metric] or 0.0, row["status"] == "diverged")
