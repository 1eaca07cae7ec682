"""The result folder: the contract's columns, nulls for what is not a number, and files that are whole at any moment."""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tune import results
from tune.results import EPOCHS, TRIALS, RunFolder, check_place, config_of, create, find, finite
from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="resnet18", lr=0.1, batch_size=8, epochs=5, scheduler="step", nesterov=True)

# As the contract of the result folder lists them, in its order.
EPOCH_COLUMNS = [
    "trial_id", "epoch", "train_loss", "train_acc", "val_loss", "val_acc", "val_robust_acc", "lr", "wall_s",
    "images_per_s",
]  # fmt: skip
TRIAL_COLUMNS = [
    "trial_id", "status", "origin", "epochs", "best_val_acc", "best_epoch", "train_loss", "train_acc", "val_loss",
    "val_acc", "val_robust_acc", "wall_s", "images_per_s", "peak_memory_mb", "error",
]  # fmt: skip
CONFIG_COLUMNS = [
    "model", "lr", "batch_size", "epochs", "optimizer", "momentum", "weight_decay", "scheduler", "gamma", "warmup",
    "augmentation", "label_smoothing", "mixup", "cutmix", "dropout", "freeze_epochs", "image_size", "seed",
]  # fmt: skip


def trial(trial_id: str = "0000", **values: Any) -> dict[str, Any]:
    row = {"trial_id": trial_id, "status": "finished", "origin": "search", "epochs": 5, "val_acc": 40.0}
    return row | {f"config.{name}": value for name, value in CONFIG.to_dict().items()} | values


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create(tmp_path, "one")


# Columns.


def test_the_columns_are_those_of_the_contract() -> None:
    assert EPOCHS.names == EPOCH_COLUMNS
    plain = [name for name in TRIALS.names if not name.startswith("config.")]
    assert plain == TRIAL_COLUMNS
    assert set(TRIALS.names) - set(plain) >= {f"config.{name}" for name in CONFIG_COLUMNS}


def test_each_field_of_a_configuration_has_a_column_of_its_own_type() -> None:
    columns = [name.removeprefix("config.") for name in TRIALS.names if name.startswith("config.")]
    assert columns == list(TrainConfig.fields())
    arrow = {int: "int64", float: "double", bool: "bool", str: "string"}
    for name, value in CONFIG.to_dict().items():
        assert str(TRIALS.field(f"config.{name}").type) == arrow[type(value)]


def test_a_configuration_comes_back_from_its_row(folder: RunFolder) -> None:
    folder.write_table("trials.parquet", [trial()], TRIALS)
    (row,) = folder.read_rows("trials.parquet")
    assert config_of(row) == CONFIG


# Nulls.


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_is_null_in_parquet_and_in_json(folder: RunFolder, value: float | None) -> None:
    losses = {"train_loss": value, "val_loss": value, "train_acc": 1.5}
    folder.write_table("epochs.parquet", [{"trial_id": "0000", "epoch": 1, **losses}], EPOCHS)
    (row,) = folder.read_rows("epochs.parquet")
    assert row["train_loss"] is None
    assert row["val_loss"] is None
    assert row["train_acc"] == 1.5
    column = pq.read_table(folder.path / "epochs.parquet").column("train_loss")
    assert column.null_count == 1

    folder.write_json("best.json", {"val_loss": value, "deep": [{"a": value}, (value, 1)], "val_acc": 2.5})
    assert folder.read_json("best.json") == {"val_loss": None, "deep": [{"a": None}, [None, 1]], "val_acc": 2.5}
    assert not re.search("NaN|Infinity", (folder.path / "best.json").read_text())


def test_a_column_that_a_row_lacks_is_null(folder: RunFolder) -> None:
    folder.write_table("trials.parquet", [{"trial_id": "0000"}], TRIALS)
    (row,) = folder.read_rows("trials.parquet")
    assert row == dict.fromkeys(TRIALS.names) | {"trial_id": "0000"}


def test_an_empty_table_has_its_columns(folder: RunFolder) -> None:
    folder.write_table("trials.parquet", [], TRIALS)
    table = pq.read_table(folder.path / "trials.parquet")
    assert table.num_rows == 0
    assert table.column_names == TRIALS.names


def test_finite_leaves_everything_else_as_it_is() -> None:
    content = {"text": "NaN", "whole": 3, "flag": True, "none": None, "deep": {"x": [1.5, "inf"]}}
    assert finite(content) == content


def test_text_of_any_language_is_readable_in_json(folder: RunFolder) -> None:
    folder.write_json("best.json", {"chosen": "größte, 最好"})
    assert "größte, 最好" in (folder.path / "best.json").read_text()
    assert folder.read_json("best.json") == {"chosen": "größte, 最好"}


# Reading.


def test_a_file_that_is_not_there_is_named(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match=r"holds no best\.json"):
        folder.read_json("best.json")
    with pytest.raises(ValueError, match=r"holds no trials\.parquet"):
        folder.read_rows("trials.parquet")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"[1, 2]", b"3", b"null", b"\xff\xfe\x00"])
def test_damaged_json_is_named(folder: RunFolder, content: bytes) -> None:
    (folder.path / "best.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"best\.json is damaged"):
        folder.read_json("best.json")


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_damaged_parquet_is_named(folder: RunFolder, kept: int) -> None:
    folder.write_table("trials.parquet", [trial()], TRIALS)
    path = folder.path / "trials.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"trials\.parquet is damaged"):
        folder.read_rows("trials.parquet")


def test_parquet_that_is_damaged_in_the_middle_is_named(folder: RunFolder) -> None:
    folder.write_table("trials.parquet", [trial()], TRIALS)
    path = folder.path / "trials.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes(300) + whole[500:])
    with pytest.raises(ValueError, match=r"trials\.parquet is damaged"):
        folder.read_rows("trials.parquet")


# Replacing.


def test_a_reader_never_sees_a_broken_file(folder: RunFolder) -> None:
    def write(number: int) -> None:
        """As many rows, and as much padding, as the number says."""
        rows = [{"trial_id": str(number), "epoch": n, "lr": 0.1} for n in range(number)]
        folder.write_table("epochs.parquet", rows, EPOCHS)
        folder.write_json("best.json", {"number": number, "padding": "x" * 50 * number})

    reads: list[int] = []
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                table = pq.read_table(pa.BufferReader((folder.path / "epochs.parquet").read_bytes()))
                best = json.loads((folder.path / "best.json").read_bytes())
            except Exception as error:
                problems.append(repr(error))
                return
            if set(table.column("trial_id").to_pylist()) != {str(table.num_rows)}:
                problems.append(f"{table.num_rows} rows")
            if len(best["padding"]) != 50 * best["number"]:
                problems.append(f"best.json of {best['number']}")
            reads.append(table.num_rows)

    write(1)
    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2, 202):
        write(number)
    done.set()
    reader.join()
    assert problems == []
    assert reads == sorted(reads)  # never an older file after a newer one
    assert len(set(reads)) > 3  # it did read while it was written


def test_rows_can_be_read_while_they_are_replaced(folder: RunFolder) -> None:
    folder.write_table("epochs.parquet", [], EPOCHS)
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                folder.read_rows("epochs.parquet")
            except Exception as error:
                problems.append(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        rows = [{"trial_id": str(number), "epoch": n} for n in range(number)]
        folder.write_table("epochs.parquet", rows, EPOCHS)
    done.set()
    reader.join()
    assert problems == []


def test_nothing_is_left_beside_a_file_that_was_written(folder: RunFolder) -> None:
    folder.write_json("best.json", {})
    folder.write_table("trials.parquet", [trial()], TRIALS)
    assert sorted(path.name for path in folder.path.iterdir()) == ["best.json", "trials.parquet"]


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(folder: RunFolder) -> None:
    folder.write_json("best.json", {"trial_id": "0000"})
    with pytest.raises(TypeError):
        folder.write_json("best.json", {"trial_id": object()})
    not_bytes: Any = "text"
    with pytest.raises(TypeError):
        results.replace_file(folder.path / "best.json", not_bytes)
    assert folder.read_json("best.json") == {"trial_id": "0000"}
    assert [path.name for path in folder.path.iterdir()] == ["best.json"]


# Making and finding folders.


def test_a_folder_is_made_with_all_that_leads_to_it(tmp_path: Path) -> None:
    made = create(tmp_path / "deep" / "er", "one")
    assert made.path == tmp_path / "deep" / "er" / "one"
    assert made.path.is_dir()
    assert made.name == "one"
    assert made.final == made.path / "final"


def test_a_folder_is_absolute_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = create(Path("results"), "one")
    assert made.path == tmp_path / "results" / "one"
    made.write_json("experiment.json", {"started": "2026-01-01T00:00:00Z"})
    assert find("one", Path("results")).path == made.path


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    create(tmp_path, "one")
    with pytest.raises(ValueError, match=r"one exists already; give another --name"):
        create(tmp_path, "one")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/a", "a/", "a\\b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="--name is"):
        create(tmp_path / "results", name)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ValueError, match=r"can not be made .*--storage"):
        create(tmp_path / "results", "one")


def test_an_endless_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--name has 300 bytes; it must have at most 200\.$"):
        create(tmp_path, "n" * 300)
    with pytest.raises(
        ValueError, match=r"can not be made \(File name too long\); give another --storage or --name\.$"
    ):
        create(tmp_path / ("n" * 300), "one")


def test_a_place_is_checked_without_being_made(tmp_path: Path) -> None:
    assert check_place(tmp_path / "deep" / "er", "one") == tmp_path / "deep" / "er" / "one"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["folder", "file", "broken link"])
def test_a_name_is_taken_by_whatever_bears_it(taken: str, tmp_path: Path) -> None:
    if taken == "folder":
        (tmp_path / "one").mkdir()
    elif taken == "file":
        (tmp_path / "one").touch()
    else:
        (tmp_path / "one").symlink_to("nowhere")
    with pytest.raises(ValueError, match="one exists already"):
        check_place(tmp_path, "one")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_storage_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match=r"can not be made \(Permission denied\); give another --storage"):
        create(tmp_path, "one")


def run_of(storage: Path, name: str, started: str) -> RunFolder:
    made = create(storage, name)
    made.write_json("experiment.json", {"started": started})
    return made


def test_the_newest_run_is_the_one_that_started_last(tmp_path: Path) -> None:
    run_of(tmp_path, "b", "2026-03-01T10:00:00Z")
    newest = run_of(tmp_path, "a", "2026-03-02T09:00:00Z")
    older = run_of(tmp_path, "c", "2026-02-28T23:59:59Z")
    os.utime(older.path / "experiment.json", (time.time() + 999, time.time() + 999))  # touched, but not newer
    (tmp_path / "no run").mkdir()
    (tmp_path / "README.md").write_text("")
    assert find(None, tmp_path).path == newest.path


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b'{"started": null}', b"\xff\xfe\x00"])
def test_a_damaged_run_is_not_the_newest(tmp_path: Path, content: bytes) -> None:
    sound = run_of(tmp_path, "sound", "2026-03-01T10:00:00Z")
    damaged = create(tmp_path, "damaged")
    (damaged.path / "experiment.json").write_bytes(content)
    assert find(None, tmp_path).path == sound.path
    # Asked for by name it is found, and reading it says what is wrong.
    assert find("damaged", tmp_path).path == damaged.path


def test_a_run_is_found_by_name_or_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run_of(tmp_path / "results", "one", "2026-03-01T10:00:00Z")
    run_of(tmp_path / "results", "two", "2026-03-02T10:00:00Z")
    monkeypatch.chdir(tmp_path)
    for asked in ("one", "results/one", "results/one/", str(made.path)):
        assert find(asked, Path("results")).path == made.path
    assert find(str(made.path), tmp_path / "elsewhere").path == made.path


@pytest.mark.parametrize("asked", [".", "..", "../../one", "final/.."])
def test_a_run_is_found_from_inside_by_its_own_name(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(tmp_path, "one")
    made.write_json("experiment.json", {})
    made.final.mkdir()
    monkeypatch.chdir(made.path if asked in (".", "final/..") else made.final)
    assert find(asked, tmp_path / "results").path == made.path


@pytest.mark.parametrize("asked", ["two", "", ".", "..", "one/experiment.json", "/nowhere", "one/deeper", "x" * 300])
def test_a_run_that_is_not_there_is_named(tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_of(tmp_path / "results", "one", "2026-03-01T10:00:00Z")
    with pytest.raises(ValueError, match="There is no run") as caught:
        find(asked, tmp_path / "results")
    assert repr(asked) in str(caught.value)


@pytest.mark.parametrize("storage", ["results", "nowhere", "file"])
def test_without_any_run_one_is_told_how_to_start_one(tmp_path: Path, storage: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"There is no run in .*python -m tune\.run --space"):
        find(None, tmp_path / storage)


def test_times_sort_as_text() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", results.now())


def test_json_is_what_any_reader_takes(folder: RunFolder) -> None:
    folder.write_json("best.json", {"a": (1, 2)})
    assert json.loads((folder.path / "best.json").read_bytes()) == {"a": [1, 2]}
