"""Keeps the result folder up to date while a search runs: trials.parquet, epochs.parquet, best.json, rungs.json."""

from __future__ import annotations

import time
from typing import Any

from tune.results import EPOCHS, TRIALS, Origin, RunFolder, Status
from tune.search.choose import choose
from tune.search.past import Past
from tune.training.config import TrainConfig

WRITE_EVERY_S = 1.0
"""Results wait at most so long for the disk, so that fast trials do not spend their time on files."""

_LAST = ("train_loss", "train_acc", "val_loss", "val_acc", "images_per_s", "peak_memory_mb")


class Journal:
    """The rows of a search, in memory and on disk. A `Listener`."""

    def __init__(self, folder: RunFolder, metric: str, past: Past) -> None:
        self.folder = folder
        self.metric = metric
        self.asha = past.asha
        self.trials = dict(past.trials)
        self.epochs = list(past.epochs)
        self._unwritten = True
        self._written_at = 0.0
        self.write()

    def trial_proposed(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        """On disk before anyone acts on it: each later proposal depends on it."""
        self.trial_started(trial_id, origin, config)
        self.write()

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        self.trials[trial_id] = {
            "trial_id": trial_id,
            "status": "running",
            "origin": origin,
            "epochs": 0,
            "wall_s": 0.0,
            **{f"config.{name}": value for name, value in config.to_dict().items()},
        }
        self.epochs = [row for row in self.epochs if row["trial_id"] != trial_id]  # those of before a crash
        self._unwritten = True

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        known = {name: metrics[name] for name in EPOCHS.names if name in metrics}
        if metrics["diverged"]:
            known["val_acc"] = None  # the 0 that was reported is a verdict for the searchers, not a measurement
        self.epochs.append({**known, "trial_id": trial_id})
        row = self.trials[trial_id]
        row |= {name: known.get(name, metrics.get(name)) for name in _LAST}
        row["epochs"] = metrics["epoch"]
        row["wall_s"] += metrics["wall_s"]
        accuracy, best = row["val_acc"], row.get("best_val_acc")
        if accuracy is not None and (best is None or accuracy > best):
            row |= {"best_val_acc": accuracy, "best_epoch": metrics["epoch"]}
        self._unwritten = True
        if self.asha is not None and metrics["epoch"] in self.asha.rungs:
            self.write()  # ASHA has decided; Ray acts on it only when its callbacks have returned

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        self.trials[trial_id] |= {"status": status, "error": error}
        self.write()

    def tick(self) -> None:
        if self._unwritten and time.monotonic() - self._written_at > WRITE_EVERY_S:
            self.write()

    def close(self) -> None:
        """The search has ended; what was proposed and never began is to be trained when it goes on."""
        for row in self.trials.values():
            if row["status"] == "running":
                row["status"] = "interrupted"
        self.write()

    def write(self) -> None:
        in_order = [row for _, row in sorted(self.trials.items())]  # Ray starts those of one moment in any order
        # In this order: a rung that is on disk has its epoch there, too.
        self.folder.write_table("epochs.parquet", self.epochs, EPOCHS)
        self.folder.write_table("trials.parquet", in_order, TRIALS)
        self.folder.write_json("best.json", choose(self.trials.values(), self.metric))
        self.folder.write_json("rungs.json", {} if self.asha is None else self.asha.to_json())
        self._unwritten, self._written_at = False, time.monotonic()
