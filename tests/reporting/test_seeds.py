"""The report of a final model of two seeds, as the training itself leaves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reporting import a_run
from tests.reporting.test_page import read
from tune.reporting.final_charts import training
from tune.reporting.load import load
from tune.training import final_evaluation
from tune.training.config import TrainConfig
from tune.training.final_folder import FinalFolder
from tune.training.final_predictions import predict
from tune.training.final_training import train
from tune.training.request import Request

CONFIG = TrainConfig(model="simple_cnn", lr=0.05, batch_size=20, epochs=2)


@pytest.mark.usefixtures("one_thread")
def test_both_seeds_are_told(tiny_root: Path, tmp_path: Path) -> None:
    folder = a_run.searched(tmp_path / "run", trials=8, horizon=4)
    trial_id = folder.read_json("best.json")["trial_id"]
    final = FinalFolder(folder, torch.device("cpu"))
    request = Request(CONFIG, trial_id, "train", "synthetic", tiny_root, 0.2, 0, None, seeds=2, tta=True)
    list(train(final, request))
    metrics = final_evaluation.evaluate(final, request)
    np.save(tmp_path / "distortion00.npy", np.zeros((5, 32, 32, 3), np.uint8))
    predict(final, [tmp_path / "distortion00.npy"], tta=True, adapt=True)
    chart = training(load(folder))
    names = [trace.name for trace in chart.figure.data]
    assert [name for name in names if "training" in name] == ["training, seed 42", "training, seed 43"]
    assert all(list(trace.x) == [1, 2] for trace in chart.figure.data), "no line goes back"
    assert chart.table is not None
    assert [row[:2] for row in chart.table.rows] == [("42", "1"), ("42", "2"), ("43", "1"), ("43", "2")]
    text = read(folder).text
    single = metrics["over_seeds"]["test_acc"]
    assert f"Test accuracy of a single seed {single['mean']:.2f} %" in text
    assert f"standard deviation {single['sd']:.2f}" in text
    assert "probabilities averaged over 2 seeds; with test-time augmentation" in text
    assert "on each of 2 seeds" in text
    assert "with test-time augmentation and " in text, "what it did to the validation images"
    assert "Predicted with 2 seeds, averaged; test-time augmentation; batch-norm statistics" in text
    (final.folder.path / "test_predictions.parquet").unlink()
    text = read(folder).text
    assert "Predicted most often: class" not in text, "the file names its classes itself"
