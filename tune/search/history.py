"""What an earlier part of a search has left in its result folder, for the search to go on from.

The folder, not Ray's own state, is what is gone on from: Ray saves its state every ten seconds at best, loses ASHA's
rungs, and can not take more trials. Our files are written at every decision, before it is acted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tune.results import Origin, Row, RunFolder, check_origin, config_of, now
from tune.search.asha import Asha
from tune.search.proposals import HeadStart, Known, score
from tune.settings import Settings
from tune.training.config import TrainConfig

ENDED = ("finished", "stopped", "diverged", "failed")
"""Trials that are not taken up again; one that ran or was interrupted goes on from its checkpoint."""

KEPT = ("started", "spent_s", "repeats_refused", "used_up")
"""What experiment.json holds of the search as a whole, not of the part of it that runs now."""


@dataclass(frozen=True)
class History:
    """A search so far. Numbers are those of the trials, in the order of proposal."""

    asha: Asha | None = None
    """None for a search that stops nobody."""

    about: dict[str, Any] = field(default_factory=dict)
    """What stays of experiment.json when the search goes on."""

    known: dict[int, Known] = field(default_factory=dict)
    """All that was proposed."""

    unfinished: dict[int, tuple[Origin, TrainConfig]] = field(default_factory=dict)
    """What of it is to be trained to its end."""

    trials: dict[str, Row] = field(default_factory=dict)
    """The rows of trials.parquet, by trial_id."""

    epochs: list[Row] = field(default_factory=list)
    """The rows of epochs.parquet."""

    head_start: HeadStart = field(default_factory=HeadStart)
    """What it knew before its first trial."""

    @property
    def ended(self) -> int:
        """How many trials are not taken up again."""
        return sum(row["status"] in ENDED for row in self.trials.values())

    def known_epochs(self) -> dict[str, int]:
        """After how many epochs each trial that goes on was seen and judged: not after a rung that it is missing on."""
        return {
            trial_id: min([row["epochs"], *(rung - 1 for rung in self._missed(trial_id, row["epochs"]))])
            for trial_id, row in self.trials.items()
            if row["status"] not in ENDED
        }

    def _missed(self, trial_id: str, epochs: int) -> list[int]:
        rungs = {} if self.asha is None else self.asha.rungs
        return [epoch for epoch, rung in rungs.items() if epoch <= epochs and trial_id not in rung]


def nothing(settings: Settings) -> History:
    """That of a search that begins."""
    return History(asha=Asha(settings.max_epochs) if settings.scheduler == "asha" else None)


def load(folder: RunFolder, metric: str, data_fingerprint: str, weights_sha256: str | None = None) -> History:
    """What lies in the folder. ValueError if it is damaged, or was learnt from other images or weights."""
    about = folder.read_json("experiment.json")
    if missing := [name for name in (*KEPT, "data_fingerprint", "weights_sha256") if name not in about]:
        raise ValueError(f"experiment.json has no {missing[0]}; it was written by another version of this project.")
    check_origin(folder, data_fingerprint, weights_sha256)
    folder.read_json("best.json")  # read later on; what is wrong with it is better said now
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
            row["status"] = "stopped"  # the crash came between the decision and its execution
        history.trials[trial_id] = row
        if row["status"] == "diverged" and history.asha is not None:
            history.asha.record(trial_id, row["epochs"], -math.inf)  # the crash may have come between two files
        if row["status"] in ENDED:
            history.known[number] = Known(config, score_of(row, metric))
        else:
            row["status"] = "interrupted"
            history.known[number] = Known(config)
            history.unfinished[number] = (row["origin"], config)
    return history


def nothing_to_do(history: History, settings: Settings) -> str:
    """Why the search has nothing left to do; empty if it has."""
    if history.ended >= settings.trials:
        return f"All {history.ended} trials have ended; a larger --trials adds some."
    if settings.time_budget_s is not None and history.about.get("spent_s", 0) >= settings.time_budget_s:
        return f"The time budget of {settings.time_budget_s:g} s is used up; a larger --time-budget goes on."
    return ""


def score_of(row: Row, metric: str) -> float | None:
    """How a trial that has ended did, as the search itself knew it."""
    if row["status"] == "failed":
        return None
    return score(row["epochs"], row[metric] or 0.0, row["status"] == "diverged")
