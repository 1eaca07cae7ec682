"""The result folder: configurations there and back, nulls for what is no number, and files that are always whole."""

from __future__ import annotations

import json
import math
import re
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tune import results
from tune.results import EPOCHS, TRIALS, RunFolder, config_of, create, finite
from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="resnet18", lr=0.1, batch_size=8, epochs=5, scheduler="step", nesterov=True)


def trial(trial_id: str = "0000", **values: Any) -> dict[str, Any]:
    row = {"trial_id": trial_id, "status": "finished", "origin": "search", "epochs": 5, "val_acc": 40.0}
    return row | {f"config.{name}": value for name, value in CONFIG.to_dict().items()} | values


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create(tmp_path, "one")


# Configurations.


def test_a_configuration_comes_back_from_its_row(folder: RunFolder) -> None:
    folder.write_table("trials.parquet", [trial()], TRIALS)
    (row,) = folder.read_rows("trials.parquet")
    assert config_of(row) == CONFIG


@pytest.mark.parametrize("absent", [{}, {"config.ema": None, "config.jsd": None}])
def test_fields_that_an_older_version_did_not_have_are_at_their_defaults(absent: dict[str, None]) -> None:
    row = {name: value for name, value in trial().items() if name not in ("config.ema", "config.jsd")}
    assert config_of(row | absent) == CONFIG


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
                folder.read_rows("epochs.parquet")
            except Exception as error:
                problems.append(repr(error))
                return
            if set(table.column("trial_id").to_pylist()) != {str(table.num_rows)}:
                problems.append(f"{table.num_rows} rows")
            if len(best["padding"]) != 50 * best["number"]:
                problems.append(f"best.json of {best['number']}")
            reads.append(table.num_rows)

    write(1)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    for number in range(2, 202):
        write(number)
    done.set()
    reader.join()
    assert problems == []
    assert reads == sorted(reads)  # never an older file after a newer one
    assert len(set(reads)) > 3  # it did read while it was written


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


def test_times_sort_as_text() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", results.now())


def test_json_is_what_any_reader_takes(folder: RunFolder) -> None:
    folder.write_json("best.json", {"a": (1, 2)})
    assert json.loads((folder.path / "best.json").read_bytes()) == {"a": [1, 2]}
