"""The journal: what of a search lies on the disk at any moment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tune.results import EPOCHS, TRIALS, RunFolder, config_of, create
from tune.search import journal as journal_module
from tune.search.asha import Asha
from tune.search.history import History
from tune.search.journal import Journal
from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="simple_cnn", lr=0.05, batch_size=64, epochs=3, scheduler="cosine", warmup=0.1)


def metrics(epoch: int, val_acc: float | None, **values: Any) -> dict[str, Any]:
    """What a trial reports, Ray's own additions included."""
    figures = {"train_loss": 4.0 / epoch, "train_acc": 10.0 * epoch, "val_loss": 4.5 / epoch, "val_acc": val_acc}
    technical = {"lr": 0.05, "wall_s": 2.0, "images_per_s": 1000.0, "peak_memory_mb": 300.0}
    technical |= {"trained_s": 2.0 * epoch, "checkpoint_due": False, "micro_batches": 1}
    rays_own = {"done": False, "steps": 10, "batch_loss": [4.0] * 10, "training_iteration": 99, "trial_id": "ray_1"}
    return {"epoch": epoch} | figures | technical | rays_own | values


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create(tmp_path, "one")


@pytest.fixture
def journal(folder: RunFolder) -> Journal:
    return Journal(folder, "val_acc", History(asha=Asha(3, 1)))


def test_a_search_that_has_just_begun_has_whole_empty_files(journal: Journal, folder: RunFolder) -> None:
    assert folder.read_rows("trials.parquet") == []
    assert folder.read_rows("epochs.parquet") == []
    assert folder.read_json("best.json") == {}
    assert folder.read_json("rungs.json")["rungs"] == {"1": {}, "2": {}}


def test_a_finished_trial_is_a_row_of_its_last_figures_and_its_best_epoch(journal: Journal, folder: RunFolder) -> None:
    journal.trial_started("0000", "reference", CONFIG)
    for epoch, accuracy in ((1, 20.0), (2, 35.0), (3, 34.0)):
        journal.epoch_ended("0000", metrics(epoch, accuracy))
    journal.trial_ended("0000", "finished", None)
    (row,) = folder.read_rows("trials.parquet")
    assert config_of(row) == CONFIG
    assert {name: value for name, value in row.items() if not name.startswith("config.")} == {
        "trial_id": "0000",
        "status": "finished",
        "origin": "reference",
        "epochs": 3,
        "best_val_acc": 35.0,
        "best_epoch": 2,
        "train_loss": pytest.approx(4.0 / 3),
        "train_acc": 30.0,
        "val_loss": 1.5,
        "val_acc": 34.0,
        "val_robust_acc": None,
        "wall_s": 6.0,
        "images_per_s": 1000.0,
        "peak_memory_mb": 300.0,
        "error": None,
    }
    assert folder.read_json("best.json")["trial_id"] == "0000"


def test_the_first_of_equal_epochs_is_the_best(journal: Journal, folder: RunFolder) -> None:
    journal.trial_started("0000", "search", CONFIG)
    for epoch in (1, 2, 3):
        journal.epoch_ended("0000", metrics(epoch, 0.0))
    journal.trial_ended("0000", "finished", None)
    (row,) = folder.read_rows("trials.parquet")
    assert (row["best_val_acc"], row["best_epoch"]) == (0.0, 1)


def test_each_epoch_is_a_row_in_the_order_it_came(journal: Journal, folder: RunFolder) -> None:
    for trial_id in ("0000", "0001"):
        journal.trial_started(trial_id, "search", CONFIG)
    for trial_id, epoch in (("0000", 1), ("0001", 1), ("0001", 2), ("0000", 2)):
        journal.epoch_ended(trial_id, metrics(epoch, 10.0 * epoch))
    journal.write()
    rows = folder.read_rows("epochs.parquet")
    # The trial's own id, not that of Ray's.
    assert [(row["trial_id"], row["epoch"]) for row in rows] == [("0000", 1), ("0001", 1), ("0001", 2), ("0000", 2)]
    assert rows[3] == {
        "trial_id": "0000",
        "epoch": 2,
        "train_loss": 2.0,
        "train_acc": 20.0,
        "val_loss": 2.25,
        "val_acc": 20.0,
        "val_robust_acc": None,
        "lr": 0.05,
        "wall_s": 2.0,
        "images_per_s": 1000.0,
    }


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_diverged_epoch_has_nulls_where_there_is_no_measurement(
    journal: Journal, folder: RunFolder, loss: float
) -> None:
    journal.trial_started("0000", "baseline", CONFIG)
    journal.epoch_ended("0000", metrics(1, 12.0))
    journal.epoch_ended("0000", metrics(2, None, train_loss=loss, val_loss=math.nan))
    journal.trial_ended("0000", "diverged", None)
    (row,) = folder.read_rows("trials.parquet")
    assert (row["status"], row["epochs"]) == ("diverged", 2)
    assert (row["train_loss"], row["val_loss"], row["val_acc"]) == (None, None, None)
    assert (row["best_val_acc"], row["best_epoch"]) == (12.0, 1)
    last = folder.read_rows("epochs.parquet")[-1]
    assert (last["train_loss"], last["val_loss"], last["val_acc"]) == (None, None, None)
    assert last["train_acc"] == 20.0
    assert folder.read_json("best.json") == {}


def test_a_failed_trial_keeps_its_error_and_its_figures(journal: Journal, folder: RunFolder) -> None:
    journal.trial_started("0000", "search", CONFIG)
    journal.epoch_ended("0000", metrics(1, 12.0))
    journal.trial_ended("0000", "failed", "OutOfMemoryError: CUDA out of memory")
    journal.trial_started("0001", "search", CONFIG)
    journal.trial_ended("0001", "failed", "RuntimeError: before the first epoch")
    first, second = folder.read_rows("trials.parquet")
    assert (first["status"], first["error"]) == ("failed", "OutOfMemoryError: CUDA out of memory")
    assert (first["epochs"], first["val_acc"]) == (1, 12.0)
    assert (second["epochs"], second["val_acc"], second["wall_s"]) == (0, None, 0.0)
    assert second["error"] == "RuntimeError: before the first epoch"
    assert folder.read_json("best.json") == {}


def test_while_trials_run_the_best_so_far_is_on_the_disk(journal: Journal, folder: RunFolder) -> None:
    journal.trial_started("0000", "search", CONFIG)
    journal.epoch_ended("0000", metrics(1, 12.0))
    journal.write()
    assert folder.read_rows("trials.parquet")[0]["status"] == "running"
    assert "no trial finished" in folder.read_json("best.json")["chosen"]


def test_the_rungs_are_ashas_table(folder: RunFolder) -> None:
    asha = Asha(3, 1)
    journal = Journal(folder, "val_acc", History(asha=asha))
    asha.report("0000", 1, 12.0)
    asha.report("0001", 1, 10.0)
    journal.write()
    assert folder.read_json("rungs.json") == asha.to_json()
    assert folder.read_json("rungs.json")["stopped"] == ["0001"]


def test_a_rung_is_on_the_disk_before_ray_acts_on_it(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "WRITE_EVERY_S", 3600.0)
    asha = Asha(8, 2)
    journal = Journal(folder, "val_acc", History(asha=asha))
    journal.trial_started("0000", "search", CONFIG)
    for epoch, rows in [(1, 0), (2, 2), (3, 2)]:
        asha.report("0000", epoch, 10.0)
        journal.epoch_ended("0000", metrics(epoch, 10.0))
        assert len(folder.read_rows("epochs.parquet")) == rows
        assert folder.read_json("rungs.json")["rungs"]["2"] == ({"0000": 10.0} if rows else {})


def test_without_asha_there_are_no_rungs(folder: RunFolder) -> None:
    Journal(folder, "val_acc", History())
    assert folder.read_json("rungs.json") == {}


def test_an_epoch_waits_for_the_disk_and_a_trials_end_does_not(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "WRITE_EVERY_S", 3600.0)
    journal = Journal(folder, "val_acc", History())
    journal.trial_started("0000", "search", CONFIG)
    journal.epoch_ended("0000", metrics(1, 12.0))
    journal.tick()
    assert folder.read_rows("epochs.parquet") == []
    monkeypatch.setattr(journal_module, "WRITE_EVERY_S", 0.0)
    journal.tick()
    assert len(folder.read_rows("epochs.parquet")) == 1
    monkeypatch.setattr(journal_module, "WRITE_EVERY_S", 3600.0)
    journal.epoch_ended("0000", metrics(2, 13.0))
    journal.trial_ended("0000", "stopped", None)
    assert len(folder.read_rows("epochs.parquet")) == 2


def test_a_tick_without_news_writes_nothing(
    journal: Journal, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "WRITE_EVERY_S", 0.0)
    before = (folder.path / "trials.parquet").stat().st_ino
    journal.tick()
    assert (folder.path / "trials.parquet").stat().st_ino == before


def test_the_files_have_the_columns_of_the_contract(journal: Journal, folder: RunFolder) -> None:
    journal.trial_started("0000", "search", CONFIG)
    journal.epoch_ended("0000", metrics(1, 12.0))
    journal.trial_ended("0000", "stopped", None)
    assert list(folder.read_rows("trials.parquet")[0]) == TRIALS.names
    assert list(folder.read_rows("epochs.parquet")[0]) == EPOCHS.names
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "best.json",
        "epochs.parquet",
        "rungs.json",
        "trials.parquet",
    ]


def test_a_proposal_is_on_disk_at_once_and_one_that_never_began_is_left_to_be_trained(
    journal: Journal, folder: RunFolder
) -> None:
    journal.trial_proposed("0000", "reference", CONFIG)
    (row,) = folder.read_rows("trials.parquet")
    assert (row["trial_id"], row["origin"], row["status"], config_of(row)) == ("0000", "reference", "running", CONFIG)
    journal.close()
    assert folder.read_rows("trials.parquet")[0]["status"] == "interrupted"


def test_what_reruns_have_chosen_stands_while_the_search_is_extended(journal: Journal, folder: RunFolder) -> None:
    folder.write_json("best.json", {"trial_id": "0003", "confirmed": []})
    later = Journal(folder, "val_acc", History())
    later.trial_started("0000", "reference", CONFIG)
    later.epoch_ended("0000", metrics(3, 99.0))
    later.trial_ended("0000", "finished", None)
    assert folder.read_json("best.json")["trial_id"] == "0003"


def test_a_trial_that_is_tried_again_keeps_its_epochs_until_it_trains_one_again(
    journal: Journal, folder: RunFolder
) -> None:
    journal.trial_started("0000", "search", CONFIG)
    journal.epoch_ended("0000", metrics(1, 30.0))
    journal.epoch_ended("0000", metrics(2, 50.0))
    journal.trial_failed("0000", "its process died")
    journal.trial_started("0000", "search", CONFIG)
    journal.write()
    assert [row["epoch"] for row in folder.read_rows("epochs.parquet")] == [1, 2]
    journal.epoch_ended("0000", metrics(2, 40.0, micro_batches=4, trained_s=9.0))
    journal.epoch_ended("0000", metrics(3, 20.0, micro_batches=4))
    journal.trial_ended("0000", "finished", None)
    (row,) = folder.read_rows("trials.parquet")
    assert [(row["epoch"], row["val_acc"]) for row in folder.read_rows("epochs.parquet")] == [(1, 30), (2, 40), (3, 20)]
    assert (row["best_val_acc"], row["best_epoch"], row["epochs"], row["wall_s"]) == (40.0, 2, 3, 6.0)
    assert row["error"] == "tried again after: its process died; out of memory: each batch split into 4"


def test_an_epoch_that_becomes_a_checkpoint_is_on_disk_at_once(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "WRITE_EVERY_S", 3600.0)
    journal = Journal(folder, "val_acc", History())
    journal.trial_started("0000", "search", CONFIG)
    journal.epoch_ended("0000", metrics(1, 12.0))
    assert folder.read_rows("epochs.parquet") == []
    journal.epoch_ended("0000", metrics(2, 12.0, checkpoint_due=True))
    assert len(folder.read_rows("epochs.parquet")) == 2


def test_an_epoch_that_was_written_just_before_a_crash_is_not_there_twice(journal: Journal, folder: RunFolder) -> None:
    """The crash came between epochs.parquet and trials.parquet."""
    journal.trial_started("0000", "search", CONFIG)
    journal.epoch_ended("0000", metrics(1, 30.0))
    before = dict(journal.trials["0000"])
    journal.epoch_ended("0000", metrics(2, 50.0))
    later = Journal(folder, "val_acc", History(trials={"0000": before}, epochs=journal.epochs))
    later.trial_started("0000", "search", CONFIG)
    later.epoch_ended("0000", metrics(2, 50.0))
    later.trial_ended("0000", "interrupted", None)
    assert [row["epoch"] for row in folder.read_rows("epochs.parquet")] == [1, 2]
