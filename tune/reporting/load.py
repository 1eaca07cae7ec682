"""Loads and checks the files of a run for the report. Plain data only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tune.reporting.prediction_files import CleanPredictions, OodPredictions, read_ood, read_test
from tune.results import ENDED, EPOCHS, PAGE, TRIALS, Row, RunFolder
from tune.training import sources
from tune.training.config import TrainConfig

METRIC_LABELS = {
    "val_acc": "Validation accuracy (%)",
    "val_robust_acc": "Validation accuracy under corruptions (%)",
}


@dataclass(frozen=True)
class Run:
    """The contents of a result folder."""

    folder: RunFolder
    about: dict[str, Any]
    """experiment.json."""

    trials: list[Row]
    epochs: list[Row]
    """One row per trial and epoch, in the order in which the epochs ended."""

    best: dict[str, Any]
    rungs: dict[str, Any]
    """rungs.json: `{}` without ASHA."""

    confirm: list[Row]
    metrics: dict[str, Any]
    """final/metrics.json: `{}` until there is a final model."""

    final_epochs: list[Row]
    tested: CleanPredictions | None
    ood: OodPredictions | None

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return dict(self.about["settings"])

    @property
    def model(self) -> str:
        return str(self.settings["model"])

    @property
    def horizon(self) -> int:
        """Epochs of a full trial."""
        return int(self.settings["max_epochs"])

    @property
    def metric(self) -> str:
        return str(self.settings["metric"])

    @property
    def metric_label(self) -> str:
        return METRIC_LABELS.get(self.metric, self.metric)

    @cached_property
    def val_images(self) -> int:
        """How many validation images each accuracy of the search was measured on."""
        return sources.split_sizes(self.settings["data"], float(self.settings["val_fraction"]), None)[1]

    @cached_property
    def curves(self) -> dict[str, list[Row]]:
        """The rows of `epochs` of each trial, by epoch."""
        found: dict[str, list[Row]] = {row["trial_id"]: [] for row in self.trials}
        for row in self.epochs:
            found.setdefault(row["trial_id"], []).append(row)
        return {trial_id: sorted(rows, key=lambda row: row["epoch"]) for trial_id, rows in found.items()}

    @property
    def chosen(self) -> Row | None:
        """The trial named by best.json."""
        return next((row for row in self.trials if row["trial_id"] == self.best.get("trial_id")), None)

    @property
    def levels(self) -> list[int]:
        """The epochs of ASHA's rungs."""
        return sorted(int(level) for level in self.rungs.get("rungs", {}))

    @property
    def in_progress(self) -> bool:
        """Whether the search is running, or was interrupted and can be resumed."""
        if self.about.get("ended") is None:
            return True
        budget_s = self.settings.get("time_budget_s")
        if self.about.get("used_up") or (budget_s is not None and self.about.get("spent_s", 0.0) >= budget_s):
            return False
        return sum(row["status"] in ENDED for row in self.trials) < int(self.settings["trials"])

    @property
    def validation(self) -> float | None:
        """The chosen trial's accuracy on the validation images, in percent; the choice was made by it."""
        return _number(self.best.get(self.metric))

    @property
    def search_s(self) -> float:
        """Duration of the search so far, in seconds."""
        return _number(self.about.get("spent_s")) or 0.0

    @property
    def epochs_trained(self) -> int:
        """Over all trials of the search, without reruns."""
        return sum(row["epochs"] or 0 for row in self.trials)

    @property
    def rerun_s(self) -> float:
        """Seconds of training in all reruns on other seeds, which `search_s` does not include."""
        return sum(row["wall_s"] or 0.0 for row in self.confirm)

    @property
    def test_accuracy(self) -> tuple[float, float, float] | None:
        """Of the final model, with the bounds of its 95 % interval, in percent."""
        value, ends = _number(self.metrics.get("test_acc")), self.metrics.get("test_acc_interval95")
        if value is None or not isinstance(ends, list) or len(ends) != 2:
            return None
        return value, float(ends[0]), float(ends[1])

    @property
    def final_of_another(self) -> str | None:
        """The trial that the final model was trained from, if it is not the chosen one."""
        trial_id = self.metrics.get("trial_id")
        return None if trial_id in (None, self.best.get("trial_id")) else str(trial_id)

    @property
    def final_seeds(self) -> list[int]:
        """The seeds of the final model; empty if it is untested or an older version did not record them."""
        seeds = self.metrics.get("seeds")
        return seeds if isinstance(seeds, list) else []

    def test_images(self) -> Path:
        """Where the Arrow file of the test images is on this machine, if it exists."""
        return sources.arrow_file(self.settings["data"], Path(self.settings["data_dir"]), "test")


def load(folder: RunFolder) -> Run:
    """Loads a run. ValueError if a required file is missing, or if any file is damaged."""
    about = folder.read_json("experiment.json")
    _check_settings(folder, about.get("settings"))
    final = RunFolder(folder.final)
    # Before the trials, which a running search may extend in between.
    best = folder.read_json("best.json") if _exists(folder, "best.json") else {}
    trials = folder.read_rows("trials.parquet")
    epochs = folder.read_rows("epochs.parquet")
    _check_columns(folder, "trials.parquet", trials, TRIALS.names)
    _check_columns(folder, "epochs.parquet", epochs, EPOCHS.names)
    if best and best.get("trial_id") not in {row["trial_id"] for row in trials}:
        raise ValueError(f"{folder.path / 'best.json'} is damaged: it names no trial of this run. {PAGE}")
    rungs = folder.read_json("rungs.json") if _exists(folder, "rungs.json") else {}
    if rungs and not _is_table(rungs.get("rungs")):
        raise ValueError(f"{folder.path / 'rungs.json'} is damaged: it holds no table of rungs. {PAGE}")
    return Run(
        folder=folder,
        about=about,
        trials=trials,
        epochs=epochs,
        best=best,
        rungs=rungs,
        confirm=folder.read_rows("confirm.parquet") if _exists(folder, "confirm.parquet") else [],
        metrics=final.read_json("metrics.json") if _exists(final, "metrics.json") else {},
        final_epochs=final.read_rows("epochs.parquet") if _exists(final, "epochs.parquet") else [],
        tested=read_test(folder.final),
        ood=read_ood(folder.final),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _exists(folder: RunFolder, name: str) -> bool:
    return os.path.lexists(folder.path / name)


def _check_settings(folder: RunFolder, settings: Any) -> None:
    """Checks only the settings that the report needs, so that it can show runs of older versions."""
    file = folder.path / "experiment.json"
    kinds = {"model": str, "data": str, "data_dir": str, "metric": str, "max_epochs": int, "trials": int}
    whole = isinstance(settings, dict) and all(isinstance(settings.get(name), kind) for name, kind in kinds.items())
    if not whole or not isinstance(settings.get("val_fraction"), float | int):
        raise ValueError(f"{file} is damaged: it does not hold the settings of a search. {PAGE}")
    if wrong := _impossible(settings):
        raise ValueError(f"{file} is damaged: {wrong} is {settings[wrong]!r}. {PAGE}")


def _impossible(settings: Mapping[str, Any]) -> str:
    """The first setting with an impossible value; empty if there is none."""
    fraction = settings["val_fraction"]
    possible = {
        "data": settings["data"] in sources.DATA_SETS,
        "metric": settings["metric"] in METRIC_LABELS,
        "max_epochs": settings["max_epochs"] >= 1,
        "trials": settings["trials"] >= 1,
    }
    possible["val_fraction"] = 0 < fraction < 1 and (
        not possible["data"] or sources.split_sizes(settings["data"], fraction, None)[1] > 0
    )
    return next((name for name, fine in possible.items() if not fine), "")


def _is_table(rungs: Any) -> bool:
    """Whether this is rungs.json's table: epoch -> trial -> accuracy or null."""
    return isinstance(rungs, dict) and all(
        level.isdecimal()
        and level == str(int(level))
        and isinstance(rung, dict)
        and all(value is None or isinstance(value, int | float) for value in rung.values())
        for level, rung in rungs.items()
    )


def _check_columns(folder: RunFolder, name: str, rows: list[Row], names: list[str]) -> None:
    config = {f"config.{field}" for field in TrainConfig.fields()}
    missing = [column for column in names if rows and column not in rows[0] and column not in config]
    if missing or (name == "trials.parquet" and rows and "config.lr" not in rows[0]):
        column = missing[0] if missing else "config.lr"
        raise ValueError(f"{folder.path / name} was written by another version: it has no column {column}.")
