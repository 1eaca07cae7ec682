"""The tables of predictions: to the letter, streamed, whole or not at all."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.training.test_ood import by_first_value, marked
from tune.files import Unwritable
from tune.training import ood, prediction_files
from tune.training.metrics import Predictions

CLASSES = [f"class {n}" for n in range(100)]
ABOUT = {"seeds": [42], "tta": False, "adapt_batch_norm": False}


def write(folder: Path, answers: Any) -> int:
    return prediction_files.write_ood(folder / "submission.csv", folder / "ood.parquet", answers, CLASSES, ABOUT)


def a_prediction(name: str, severity: int, n: int) -> ood.Prediction:
    labels = np.arange(n) % 100
    top5 = (labels[:, None] + np.arange(5)) % 100
    return ood.Prediction(name, severity, labels, top5, np.tile(np.float32([0.5, 0.2, 0.1, 0.1, 0.05]), (n, 1)))


def test_submission_to_the_letter(tmp_path: Path) -> None:
    np.save(tmp_path / "distortion00.npy", marked(2, 40))
    np.save(tmp_path / "distortion01.npy", marked(1, 96))
    files = [tmp_path / "distortion00.npy", tmp_path / "distortion01.npy"]
    rows = write(tmp_path / "new", (one for path in files for one in ood.predict(path, by_first_value, batch_size=3)))
    assert (tmp_path / "new" / "submission.csv").read_bytes() == (
        b"id,label\n"
        b"distortion00_1_0,40\ndistortion00_1_1,41\n"
        b"distortion00_2_0,42\ndistortion00_2_1,43\n"
        b"distortion00_3_0,44\ndistortion00_3_1,45\n"
        b"distortion00_4_0,46\ndistortion00_4_1,47\n"
        b"distortion00_5_0,48\ndistortion00_5_1,49\n"
        b"distortion01_1_0,96\ndistortion01_2_0,97\ndistortion01_3_0,98\ndistortion01_4_0,99\ndistortion01_5_0,0\n"
    )
    assert rows == 15

    table = pq.read_table(tmp_path / "new" / "ood.parquet")
    assert table.schema.equals(prediction_files.OOD)
    assert json.loads(table.schema.metadata[b"classes"]) == CLASSES
    assert json.loads(table.schema.metadata[b"about"]) == ABOUT
    assert table["id"].to_pylist()[:3] == ["distortion00_1_0", "distortion00_1_1", "distortion00_2_0"]
    assert table["label"].to_pylist() == [*range(40, 50), 96, 97, 98, 99, 0]
    row = table.to_pylist()[12]
    assert (row["distortion"], row["severity"], row["index"]) == (1, 3, 0)
    # One-hot scores: one class at e / (e + 99), all others alike, of which the first come first.
    assert row["top5"] == [98, 0, 1, 2, 3]
    assert row["top5_probability"] == pytest.approx([np.e / (np.e + 99)] + [1 / (np.e + 99)] * 4)
    assert row["probability"] == row["top5_probability"][0]


def test_what_fails_half_way_leaves_the_old_files(tmp_path: Path) -> None:
    for name in ("submission.csv", "ood.parquet"):
        (tmp_path / name).write_text("the old one")

    def breaks() -> Iterator[ood.Prediction]:
        yield a_prediction("distortion00", 1, 10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, breaks())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "submission.csv": "the old one", "ood.parquet": "the old one",
    }  # fmt: skip


@pytest.mark.parametrize("bytes_left", [0, 4_000], ids=["at once", "later"])
def test_a_full_disk_is_told(bytes_left: int, tmp_path: Path) -> None:
    """A limit on the size of files is as near to a full disk as a test comes without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        with pytest.raises(Unwritable, match=r"ood\.parquet cannot be written"):
            write(tmp_path, (a_prediction("distortion00", severity, 1000) for severity in range(1, 6)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_is_gone_is_no_full_disk(tmp_path: Path) -> None:
    def breaks() -> Iterator[ood.Prediction]:
        yield a_prediction("distortion00", 1, 10)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write(tmp_path, breaks())


def test_a_table_that_cannot_take_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "ood.parquet").mkdir()
    with pytest.raises(Unwritable, match=r"ood\.parquet cannot be written: Is a directory$"):
        write(tmp_path, iter([a_prediction("distortion00", 1, 10)]))
    assert [path.name for path in tmp_path.iterdir()] == ["ood.parquet"]


def test_950_000_predictions_are_written_as_they_come(tmp_path: Path) -> None:
    every = (a_prediction(name, severity, 10_000) for name in ood.NAMES for severity in range(1, 6))
    assert write(tmp_path, every) == 950_000
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert len(lines) == 950_001
    assert len(set(lines)) == 950_001
    assert lines[1] == "distortion00_1_0,0"
    assert lines[10_001] == "distortion00_2_0,0"
    assert lines[-1] == "distortion18_5_9999,99"
    file = pq.ParquetFile(tmp_path / "ood.parquet")
    assert (file.metadata.num_rows, file.metadata.num_row_groups) == (950_000, 95), "written as they came"
    last = file.read_row_group(94).slice(9_999).to_pylist()
    assert last == [
        {
            "id": "distortion18_5_9999", "distortion": 18, "severity": 5, "index": 9_999, "label": 99,
            "probability": 0.5, "top5": [99, 0, 1, 2, 3],
            "top5_probability": pytest.approx([0.5, 0.2, 0.1, 0.1, 0.05]),
        }
    ]  # fmt: skip


def test_the_test_images_in_their_order(tmp_path: Path) -> None:
    shares = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.5, 0.25]])
    judged = Predictions(torch.tensor([0, 1, 1]), shares.log())
    prediction_files.write_test(tmp_path / "test.parquet", judged, ["a", "b", "c"], {"seeds": [42], "tta": False})
    table = pq.read_table(tmp_path / "test.parquet")
    assert table.schema.equals(prediction_files.TEST)
    assert table.schema.field("index").type == pa.int32()
    assert json.loads(table.schema.metadata[b"classes"]) == ["a", "b", "c"]
    assert table["index"].to_pylist() == [0, 1, 2]
    assert table["label"].to_pylist() == [0, 1, 1]
    assert table["predicted"].to_pylist() == [0, 2, 1]
    assert table["probability"].to_pylist() == pytest.approx([0.7, 0.6, 0.5])
    assert table["probability_of_label"].to_pylist() == pytest.approx([0.7, 0.3, 0.5])
