"""Writes trials.parquet, epochs.parquet, best.json and rungs.json while a search runs."""

from __future__ import annotations

import time
from typing import Any

from tune.results import EPOCHS, TRIALS, Origin, Row, RunFolder, Status
from tune.search.choose import choose
from tune.search.history import History
from tune.search.listener import Listener
from tune.training.config import TrainConfig

WRITE_EVERY_S = 1.0
"""The longest that results stay unwritten, so that fast trials do not wait for files."""

_LAST = ("train_loss", "train_acc", "val_loss", "val_acc", "images_per_s", "peak_memory_mb")


class Journal(Listener):
    """The rows of a search, in memory and on disk."""

    def __init__(self, folder: RunFolder, metric: str, history: History) -> None:
        self.folder = folder
        self.metric = metric
        self.asha = history.asha
        self.trials = dict(history.trials)
        self.epochs = list(history.epochs)
        self._unwritten = True
        self._written_at = 0.0
        self._confirmed = _confirmed(folder)
        self.write()

    def trial_proposed(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        """Written at once, as all later proposals depend on it."""
        self.trial_started(trial_id, origin, config)
        self.write()

    def trial_started(self, trial_id: str, origin: Origin, config: TrainConfig) -> None:
        """A trial that resumes keeps its epochs until it trains one of them again."""
        about = {"trial_id": trial_id, "origin": origin, "epochs": 0, "wall_s": 0.0}
        values = {f"config.{name}": value for name, value in config.to_dict().items()}
        self.trials[trial_id] = about | values | self.trials.get(trial_id, {}) | {"status": "running"}
        self._unwritten = True

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        known = {name: metrics[name] for name in EPOCHS.names if name in metrics}
        row, epoch = self.trials[trial_id], metrics["epoch"]
        # Drops epochs that are trained again after a crash; epochs.parquet may have them, and trials.parquet not yet.
        self.epochs = [old for old in self.epochs if old["trial_id"] != trial_id or old["epoch"] < epoch]
        self.epochs.append({**known, "trial_id": trial_id})
        row |= {name: metrics.get(name) for name in _LAST}
        row |= {"epochs": epoch, "wall_s": metrics["trained_s"]}
        if metrics["micro_batches"] > 1:
            add_note(row, f"out of memory: each batch split into {metrics['micro_batches']}")
        row["best_val_acc"], row["best_epoch"] = self._best(trial_id)
        row["val_robust_acc"] = self._latest_robust(trial_id)
        self._unwritten = True
        # Ray acts on ASHA's decision, and the trial saves its checkpoint, only after the callbacks have returned.
        if metrics["checkpoint_due"] or (self.asha is not None and epoch in self.asha.rungs):
            self.write()

    def trial_failed(self, trial_id: str, error: str) -> None:
        add_note(self.trials[trial_id], f"tried again after: {error}")
        self._unwritten = True

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        row = self.trials[trial_id]
        row |= {"status": status, "error": error or row.get("error")}
        self.write()

    def _best(self, trial_id: str) -> tuple[float | None, int | None]:
        """The highest accuracy of the trial, and the first epoch that reached it."""
        own = [row for row in self.epochs if row["trial_id"] == trial_id and row["val_acc"] is not None]
        best = max(own, key=lambda row: row["val_acc"], default=None)  # the first of equals
        return (None, None) if best is None else (best["val_acc"], best["epoch"])

    def _latest_robust(self, trial_id: str) -> float | None:
        """The latest measurement: it is made at rungs and after the last epoch only."""
        own = (row for row in reversed(self.epochs) if row["trial_id"] == trial_id)
        return next((row["val_robust_acc"] for row in own if row.get("val_robust_acc") is not None), None)

    def tick(self) -> None:
        if self._unwritten and time.monotonic() - self._written_at > WRITE_EVERY_S:
            self.write()

    def close(self) -> None:
        """Marks trials that have not ended, or never started, as interrupted: they run when the search resumes."""
        for row in self.trials.values():
            if row["status"] == "running":
                row["status"] = "interrupted"
        self.write()

    def write(self) -> None:
        in_order = [row for _, row in sorted(self.trials.items())]  # Ray starts concurrent trials in any order
        # In this order, so that the epoch of every rung on disk is there, too.
        self.folder.write_table("epochs.parquet", self.epochs, EPOCHS)
        self.folder.write_table("trials.parquet", in_order, TRIALS)
        # A choice by reruns stands until they choose again, even if the search resumes.
        self.folder.write_json("best.json", self._confirmed or choose(self.trials.values(), self.metric))
        self.folder.write_json("rungs.json", {} if self.asha is None else self.asha.to_json())
        self._unwritten, self._written_at = False, time.monotonic()


def _confirmed(folder: RunFolder) -> dict[str, Any]:
    """The choice of an earlier --confirm; {} if there is none."""
    best = folder.read_json("best.json") if (folder.path / "best.json").is_file() else {}
    return best if "confirmed" in best else {}


def add_note(row: Row, text: str) -> None:
    """Appends to a row's `error` a note on a trial that continues nevertheless."""
    if text not in (row.get("error") or ""):
        row["error"] = "; ".join(filter(None, [row.get("error"), text]))
