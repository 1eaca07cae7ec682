"""How a trial is kept: when, what it goes on from, and what is removed."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.an_s3 import Bucket
from tune import remote
from tune.files import Unwritable
from tune.results import RunFolder, create
from tune.search.checkpoint_store import FolderStore, RemoteStore
from tune.search.checkpoints import Checkpoints
from tune.search.devices import Share
from tune.search.trial import Task, Trial
from tune.training import checkpoint, sources
from tune.training.config import TrainConfig

TIMED = ("wall_s", "trained_s", "images_per_s", "peak_memory_mb")


class Alone(Trial):
    """A trial without Ray: only what Ray would call is called."""

    def __init__(self, config: dict[str, Any], task: Task) -> None:
        self.setup(config, task)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """A trial sets up its process, and here that is pytest's."""
    threads = torch.get_num_threads()
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@pytest.fixture
def task(synthetic_root: Path, tmp_path: Path) -> Task:
    arrow = sources.prepare("synthetic", synthetic_root, "train")
    return Task(
        arrow=arrow, val_fraction=0.01, split_seed=0, train_subset=100, weights=None, share=Share(1, 0.0),
        checkpoints=FolderStore(tmp_path), checkpoint_every_s=0.0,
    )  # fmt: skip


def begin(task: Task) -> Alone:
    config = TrainConfig(model="simple_cnn", lr=0.05, batch_size=20, epochs=3, momentum=0.9)
    return Alone({**config.to_dict(), "trial_id": "0007", "origin": "search"}, task)


def figures(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in TIMED}


def test_a_trial_is_kept_when_its_epoch_has_been_judged_and_goes_on_from_there(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "0007.pt"
    trial = begin(task)
    first = trial.step()
    assert first["checkpoint_due"]
    assert not path.exists(), "the search has not seen the epoch yet"
    second = trial.step()
    assert path.exists()
    again = begin(task)
    assert figures(again.step()) == figures(second), "from the first epoch's checkpoint"
    third = again.step()
    assert (third["epoch"], third["done"], third["checkpoint_due"]) == (3, True, False), "what ends is not kept"
    assert figures(trial.step()) == figures(third)


def test_a_trial_whose_checkpoint_is_damaged_starts_anew(task: Task, tmp_path: Path) -> None:
    trial = begin(task)
    first = trial.step()
    trial.step()
    whole = (tmp_path / "0007.pt").read_bytes()
    (tmp_path / "0007.pt").write_bytes(whole[: len(whole) // 2])
    assert figures(begin(task).step()) == figures(first)


def test_a_trial_does_not_go_on_from_another_configurations_checkpoint(task: Task, tmp_path: Path) -> None:
    trial = begin(task)
    first = trial.step()
    trial.step()
    other = checkpoint.load(tmp_path / "0007.pt")
    checkpoint.save(tmp_path / "0007.pt", other | {"config": other["config"] | {"lr": 0.06}})
    assert figures(begin(task).step()) == figures(first)


def test_a_checkpoint_that_cannot_be_written_is_told_and_does_not_fail_the_trial(task: Task, tmp_path: Path) -> None:
    trial = begin(task)
    assert trial.step()["checkpoint_error"] == ""
    (tmp_path / "0007.pt").mkdir()  # nothing can take its place
    report = trial.step()
    assert report["epoch"] == 2
    assert "0007.pt cannot be written: Is a directory" in report["checkpoint_error"]


def test_a_trial_is_kept_in_a_store_likewise(task: Task, s3: Bucket) -> None:
    kept = RemoteStore(remote.connect(s3.uri("kept/checkpoints")))
    task = pickle.loads(pickle.dumps(replace(task, checkpoints=kept)))
    trial = begin(task)
    trial.step()
    second = trial.step()
    assert (second["checkpoint_error"], second["checkpoint_late"]) == ("", "")
    assert s3.names("kept") == {"checkpoints/0007.pt"}
    assert figures(begin(task).step()) == figures(second)
    kept.remote.write("0007.pt", b"damaged")
    assert begin(task).step()["epoch"] == 1


def test_a_store_that_is_away_fails_no_trial(task: Task) -> None:
    away = RemoteStore(remote.connect("s3://bucket/away?endpoint_override=127.0.0.1:9&scheme=http"))
    trial = begin(replace(task, checkpoints=away))
    trial.step()
    report = trial.step()
    assert (report["epoch"], report["checkpoint_error"]) == (2, "")
    assert re.search(r"cannot be used \(.*connect to ", report["checkpoint_late"])


def test_a_checkpoint_of_more_epochs_than_are_known_is_not_gone_on_from(task: Task, tmp_path: Path, s3: Bucket) -> None:
    """As a machine leaves it whose last seconds were not in the mirror."""
    here = create(tmp_path, "one")
    there = RunFolder(here.path, remote.connect(s3.uri("ahead")))
    for checkpoints in (Checkpoints(here), Checkpoints(there)):
        checkpoints.keep_only([])
        trial = begin(replace(task, checkpoints=checkpoints.store))
        for _ in range(3):
            trial.step()  # so that it is kept after the second
        checkpoints.drop_ahead({"0007": 2, "0008": 0})
        assert checkpoints.store.load("0007") is not None
        checkpoints.drop_ahead({"0007": 1, "0008": 0})
        assert checkpoints.store.load("0007") is None
        assert begin(replace(task, checkpoints=checkpoints.store)).step()["epoch"] == 1


def test_only_what_someone_will_go_on_from_is_kept_in_a_store(s3: Bucket, tmp_path: Path) -> None:
    checkpoints = Checkpoints(RunFolder(tmp_path, remote.connect(s3.uri("tidy"))))
    for name in ("0001.pt", "0002.pt", "0003.pt"):
        (remote.connect(s3.uri("tidy/checkpoints"))).write(name, b"x")
    checkpoints.keep_only(["0001", "0002"])
    assert s3.names("tidy") == {"checkpoints/0001.pt", "checkpoints/0002.pt"}
    checkpoints.trial_ended("0001", "interrupted", None)
    checkpoints.trial_ended("0002", "stopped", None)
    checkpoints.close()
    assert s3.names("tidy") == {"checkpoints/0001.pt"}


def test_only_what_someone_will_go_on_from_is_kept(tmp_path: Path) -> None:
    folder = create(tmp_path, "one")
    there = folder.path / "checkpoints"
    there.mkdir()
    for name in ("0001.pt", "0002.pt", "0003.pt.77.tmp", "0004-seed43.pt"):
        (there / name).write_bytes(b"x")
    checkpoints = Checkpoints(folder)
    checkpoints.keep_only(["0001", "0004-seed43", "0005"])
    assert left(folder) == {"0001.pt", "0004-seed43.pt"}
    checkpoints.trial_ended("0001", "interrupted", None)
    checkpoints.trial_ended("0005", "finished", None)  # was never kept
    assert left(folder) == {"0001.pt", "0004-seed43.pt"}
    (there / "0004-seed43.pt.99.tmp").write_bytes(b"x")  # its process was killed while it wrote
    checkpoints.trial_ended("0004-seed43", "stopped", None)
    checkpoints.close()
    assert left(folder) == {"0001.pt"}
    checkpoints.trial_ended("0001", "failed", "RuntimeError")
    checkpoints.close()
    assert not there.exists()


def test_a_checkpoints_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    folder = create(tmp_path, "one")
    (folder.path / "checkpoints").write_text("a file")
    with pytest.raises(Unwritable, match="checkpoints cannot be written: File exists"):
        Checkpoints(folder).keep_only([])


def left(folder: RunFolder) -> set[str]:
    return {path.name for path in (folder.path / "checkpoints").iterdir()}
