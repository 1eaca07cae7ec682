"""What the search tells W&B, and that nothing of it ends the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tune import results
from tune.search.trial_tracking import TrialRuns
from tune.tracking import Tracker, run_ids
from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="simple_cnn", lr=0.1, batch_size=50, epochs=2)


class Heard(Tracker):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, int]] = []

    def log(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.logged.append((run, rows[-1]["epoch"]))


def metrics(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "val_acc": 1.0, "batch_loss": [2.0], "steps": 10}


def test_runs_keep_their_ids_when_the_folder_is_gone(tmp_path: Path) -> None:
    folder = results.create(tmp_path, "run")
    folder.write_json("experiment.json", {"started": results.now()})
    expected, heard = run_ids(folder)("0000"), Heard()
    trials = TrialRuns(heard, folder)
    trials.trial_started("0000", "search", CONFIG)
    trials.epoch_ended("0000", metrics(1))
    (folder.path / "experiment.json").unlink()
    trials.epoch_ended("0000", metrics(2))
    trials.trial_ended("0000", "finished", None)
    assert heard.logged == [(expected, 1), (expected, 2)]


def test_an_epoch_that_is_trained_again_is_told_once(tmp_path: Path) -> None:
    folder = results.create(tmp_path, "run")
    folder.write_json("experiment.json", {"started": results.now()})
    heard = Heard()
    trials = TrialRuns(heard, folder)
    for epoch in (1, 2, 2, 3):
        trials.epoch_ended("0000", metrics(epoch))
    assert [epoch for _, epoch in heard.logged] == [1, 2, 3]
