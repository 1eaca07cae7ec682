"""What is made of the final model's predictions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.reporting import a_run
from tune.reporting import ood_charts
from tune.reporting.final_charts import reliability
from tune.reporting.prediction_files import CleanPredictions, OodPredictions, calibration, read_ood, read_test
from tune.results import RunFolder


def predictions(label: list[int], predicted: list[int], probability: list[float]) -> CleanPredictions:
    return CleanPredictions(np.array(label), np.array(predicted), np.array(probability), ("a", "b", "c"))


def test_calibration_is_the_gap_between_what_is_claimed_and_what_is_right() -> None:
    rng = np.random.default_rng(0)
    claimed = rng.random(200_000)
    right = rng.random(200_000) < claimed
    honest = CleanPredictions(np.zeros(200_000, int), np.where(right, 0, 1), claimed, ("a", "b"))
    assert calibration(honest).error < 0.01
    found = calibration(predictions([0] * 4, [0, 0, 1, 1], [0.9, 0.9, 0.9, 0.2]))
    assert found.error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.2)
    assert found.count.tolist() == [1, 3]
    assert calibration(predictions([0], [0], [1.0])).error == 0


def test_confidence_is_judged_by_what_so_many_images_can_tell() -> None:
    few, many = ([0] * 7 + [1] * 3) * 4, ([0] * 7 + [1] * 3) * 1000
    assert "a gap that may be chance with so few images" in reliability(predictions([0] * 40, few, [0.75] * 40)).caption
    assert "5.0 points too confident" in reliability(predictions([0] * 10_000, many, [0.75] * 10_000)).caption
    assert "5.0 points too cautious" in reliability(predictions([0] * 10_000, many, [0.65] * 10_000)).caption
    assert "well calibrated on average" in reliability(predictions([0] * 10_000, many, [0.705] * 10_000)).caption


def test_the_confusion_has_labels_as_rows() -> None:
    assert predictions([0, 0, 2], [1, 0, 2], [1, 1, 1]).confusion().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_ood_images_are_counted_by_file_and_severity() -> None:
    found = OodPredictions(np.array([3, 3, 7]), np.array([1, 1, 2]), np.array([0, 1, 1]), np.array([0.2, 0.4, 1.0]))
    files, mean = ood_charts._by_file(found, found.probability)
    assert files == ["distortion03", "distortion07"]
    np.testing.assert_allclose(mean, [[0.3, np.nan], [np.nan, 1.0]])
    _, classes = ood_charts._effective_classes(found, 2)
    np.testing.assert_allclose(classes, [[2, np.nan], [np.nan, 1]])


def test_files_that_are_not_there_and_files_that_are_none(tmp_path: Path) -> None:
    assert read_test(tmp_path) is None
    assert read_ood(tmp_path) is None
    empty = pa.table({name: pa.array([], pa.int16()) for name in ("distortion", "severity", "label", "probability")})
    pq.write_table(empty, tmp_path / "ood_predictions.parquet")
    with pytest.raises(ValueError, match="it is empty"):
        read_ood(tmp_path)
    table = pa.table({name: pa.array([1], pa.int16()) for name in ("label", "predicted", "probability")})
    pq.write_table(table, tmp_path / "test_predictions.parquet")
    with pytest.raises(ValueError, match="lack the class names"):
        read_test(tmp_path)
    pq.write_table(table.replace_schema_metadata({"classes": '["one"]'}), tmp_path / "test_predictions.parquet")
    with pytest.raises(ValueError, match="labels without a class"):
        read_test(tmp_path)


def test_the_files_come_back_as_finalize_writes_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    a_run.finalize(folder, 500)
    tested, ood = read_test(folder.final), read_ood(folder.final)
    assert tested is not None
    assert ood is not None
    assert len(tested.label) == 500
    assert tested.classes[98] == "maple_tree"
    assert len(ood.label) == 19 * 5 * 200


def test_reading_does_without_pandas(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    a_run.finalize(folder, 500)
    code = "import sys, pathlib\nfrom tune.reporting.prediction_files import read_ood, read_test\n"
    code += "assert read_test(pathlib.Path(sys.argv[1])) and read_ood(pathlib.Path(sys.argv[1]))\n"
    code += "assert 'pandas' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, str(folder.final)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
