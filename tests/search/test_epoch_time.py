"""The time of an epoch, found in earlier runs; and what is passed over."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.a_search import settings
from tests.an_s3 import Bucket
from tune.results import EPOCHS, RunFolder, create
from tune.search.devices import Machine
from tune.search.epoch_time import Speed, find
from tune.storage import Storage, resolve

MACHINE = Machine(cpus=8, gpus=2, names=("a cpu", "a gpu", "a gpu"))
ASKED = settings(space="mine.py", data="cifar100", train_subset=10_000, trials=4, max_epochs=2, seed=42, name="next")


def leave(storage: Path, name: str, started: str, wall_s: list[float | None], **others: Any) -> RunFolder:
    """A run's folder. Each epoch trains 10,000 images in 4 s and validates the rest of the time."""
    folder = create(storage, name)
    devices = others.pop("devices", list(MACHINE.names))
    asked = dataclasses.replace(ASKED, name=name, **others).to_dict()
    folder.write_json("experiment.json", {"settings": asked, "started": started, "devices": devices})
    rows = [{"trial_id": "0000", "epoch": 1, "wall_s": seconds, "images_per_s": 2500.0} for seconds in wall_s]
    folder.write_table("epochs.parquet", rows, EPOCHS)
    return folder


def test_without_an_earlier_run_nothing_is_known(tmp_path: Path) -> None:
    assert find(Storage(tmp_path), ASKED, MACHINE) is None
    assert find(Storage(tmp_path / "nowhere"), ASKED, MACHINE) is None


def test_training_scales_with_its_images_and_validation_with_its_own(tmp_path: Path) -> None:
    leave(tmp_path, "one", "2026-01-01", [5.0, 7.0])
    speed = find(Storage(tmp_path), ASKED, MACHINE)
    assert speed is not None
    assert (speed.run, speed.epochs) == ("one", 2)
    assert speed.epoch_s(10_000, 10_000) == pytest.approx(6.0)
    assert speed.epoch_s(40_000, 10_000) == pytest.approx(4 * 4.0 + 2.0)
    assert speed.epoch_s(10_000, 5_000) == pytest.approx(4.0 + 1.0)


def test_a_run_in_a_store_counts_likewise(tmp_path: Path, s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs = resolve(s3.uri("measured"))
    for folder in (leave(tmp_path, "one", "2026-01-01", [5.0, 7.0]), leave(tmp_path, "new", "2026-01-02", [None])):
        for file in folder.path.iterdir():
            runs.folder(folder.name).remote.write(file.name, file.read_bytes())
    speed = find(runs, ASKED, MACHINE)
    assert speed is not None
    assert (speed.run, speed.epochs) == ("one", 2)


def test_epochs_that_were_not_timed_do_not_count(tmp_path: Path) -> None:
    leave(tmp_path, "one", "2026-01-01", [6.0, None, 0.0])
    speed = find(Storage(tmp_path), ASKED, MACHINE)
    assert speed is not None
    assert speed.epochs == 1


def test_the_newest_run_with_a_measurement_is_taken(tmp_path: Path) -> None:
    leave(tmp_path, "middle", "2026-01-02", [5.0])
    leave(tmp_path, "old", "2026-01-01", [50.0])
    leave(tmp_path, "newest", "2026-01-03", [])
    speed = find(Storage(tmp_path), ASKED, MACHINE)
    assert speed == Speed("middle", 1, train_s=pytest.approx(4e-4), val_s=pytest.approx(1e-4))


@pytest.mark.parametrize(
    "others",
    [
        {"model": "resnet18"},
        {"cpus_per_trial": 2},
        {"gpus_per_trial": 0.5},
        {"devices": ["another cpu", "a gpu", "a gpu"]},
        {"devices": None},
        {"devices": 3},
    ],
)
def test_what_ran_otherwise_says_nothing(others: dict[str, Any], tmp_path: Path) -> None:
    leave(tmp_path, "other", "2026-01-01", [5.0], **others)
    assert find(Storage(tmp_path), ASKED, MACHINE) is None


def test_on_a_gpu_only_the_gpu_must_be_the_same(tmp_path: Path) -> None:
    half = dataclasses.replace(ASKED, gpus_per_trial=0.5)
    leave(tmp_path, "other", "2026-01-01", [5.0], gpus_per_trial=0.5, devices=["a cpu", "another gpu"])
    assert find(Storage(tmp_path), half, MACHINE) is None
    leave(tmp_path, "same", "2026-01-01", [5.0], gpus_per_trial=0.5, devices=["another cpu", "a gpu"])
    speed = find(Storage(tmp_path), half, MACHINE)
    assert speed is not None
    assert speed.run == "same"


def test_damaged_and_foreign_folders_are_passed_over(tmp_path: Path) -> None:
    leave(tmp_path, "sound", "2026-01-01", [5.0])
    for name in ("cut", "list", "older", "no table", "no parquet", "subset"):
        folder = leave(tmp_path, name, "2026-01-02", [9.0]).path
        if name == "cut":
            (folder / "experiment.json").write_text('{"settings": {')
        elif name == "list":
            (folder / "experiment.json").write_text("[1, 2]")
        elif name == "older":
            (folder / "experiment.json").write_text('{"settings": {"model": "simple_cnn"}}')
        elif name == "no table":
            (folder / "epochs.parquet").unlink()
        elif name == "no parquet":
            (folder / "epochs.parquet").write_text("epochs")
        else:
            settings = dataclasses.replace(ASKED, train_subset=10**6).to_dict()
            about = {"settings": settings, "started": "2026-01-02", "devices": list(MACHINE.names)}
            RunFolder(folder).write_json("experiment.json", about)
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "odd" / "experiment.json").mkdir(parents=True)
    speed = find(Storage(tmp_path), ASKED, MACHINE)
    assert speed is not None
    assert speed.run == "sound"
