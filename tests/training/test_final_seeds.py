"""A final model of several seeds: interrupted wherever it may be, and what is said of the seeds and of their mean."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.training.test_final import assert_same_model, timeless
from tune.results import RunFolder
from tune.training import checkpoint, final_evaluation
from tune.training.config import TrainConfig
from tune.training.final_folder import FinalFolder
from tune.training.final_training import train
from tune.training.images import ImageSet
from tune.training.request import Request

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="simple_cnn", lr=0.05, batch_size=20, epochs=2, dropout=0.2)


@pytest.fixture(scope="module")
def asked(tiny_root: Path) -> Request:
    return Request(CONFIG, "0007", "train", "synthetic", tiny_root, 0.2, 0, None, seeds=2, tta=True)


@pytest.fixture(scope="module")
def trained(asked: Request, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """The folder of a run whose final model was trained without interruption, not yet tested."""
    folder = tmp_path_factory.mktemp("seeds")
    list(train(FinalFolder(RunFolder(folder), CPU), asked))
    return folder


@pytest.fixture(scope="module")
def final(asked: Request, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> FinalFolder:
    """The same, tested."""
    folder = tmp_path_factory.mktemp("tested") / "run"
    shutil.copytree(trained, folder)
    tested = FinalFolder(RunFolder(folder), CPU)
    final_evaluation.evaluate(tested, asked)
    return tested


@pytest.mark.parametrize("after", [1, 2, 3])
def test_interrupted_in_any_seed_it_ends_with_the_same_weights(
    after: int, asked: Request, trained: Path, tmp_path: Path
) -> None:
    running = FinalFolder(RunFolder(tmp_path), CPU)
    epochs = train(running, asked)
    list(islice(epochs, after))
    epochs.close()
    assert not running.model.exists()
    torch.manual_seed(99)
    again = list(train(FinalFolder(RunFolder(tmp_path), CPU), asked))
    order = [(42, 1), (42, 2), (43, 1), (43, 2)]
    assert [(result.training.config.seed, result.epoch) for result in again] == order[after:]
    assert_same_model(running.model, trained / "final" / "model.pt")
    whole, ours = (torch.load(path / "final" / "model.pt", weights_only=True)["others"] for path in (trained, tmp_path))
    assert list(whole) == list(ours) == [43]
    assert all(torch.equal(whole[43][key], ours[43][key]) for key in whole[43])
    assert timeless(running.folder.path) == timeless(trained / "final")
    assert [(row["seed"], row["epoch"]) for row in running.folder.read_rows("epochs.parquet")] == order


def test_the_model_holds_both_seeds_and_answers_with_their_mean(trained: Path, tiny_test: ImageSet) -> None:
    classifier = checkpoint.load_model(trained / "final" / "model.pt")
    assert (classifier.config, classifier.seeds, classifier.tta) == (CONFIG, [42, 43], True)
    first, second = (
        checkpoint.load_model(trained / "final" / f"seed-{seed}.pt").probabilities(tiny_test.pixels)
        for seed in (42, 43)
    )
    assert not torch.allclose(first, second, atol=1e-3)
    assert torch.allclose(classifier.probabilities(tiny_test.pixels), (first + second) / 2, atol=1e-6)


def test_the_metrics_tell_each_seed_the_spread_and_the_mean(final: FinalFolder, tiny_test: ImageSet) -> None:
    metrics = json.loads((final.folder.path / "metrics.json").read_text())
    assert (metrics["seeds"], metrics["tta"]) == ([42, 43], True)
    assert metrics["submitted"] == "the mean of the seeds' probabilities"
    predictor = checkpoint.load_model(final.model).predictor()
    with torch.inference_mode():
        together = predictor(tiny_test.pixels)
    assert metrics["test_acc"] == pytest.approx(100 * (together.argmax(1) == tiny_test.labels).double().mean().item())
    each = metrics["each_seed"]
    assert [row["seed"] for row in each] == [42, 43]
    accuracies = [row["test_acc"] for row in each]
    assert metrics["over_seeds"]["test_acc"]["mean"] == pytest.approx(np.mean(accuracies))
    assert metrics["over_seeds"]["test_acc"]["sd"] == pytest.approx(np.std(accuracies, ddof=1))
    assert {path.name for path in final.folder.path.iterdir()} == {
        "epochs.parquet", "metrics.json", "model.pt", "test_looks.json", "test_predictions.parquet",
    }  # fmt: skip


def test_views_are_judged_on_the_validation_images(final: FinalFolder, asked: Request) -> None:
    validation = json.loads((final.folder.path / "metrics.json").read_text())["validation"]
    assert set(validation) == {"val_acc", "val_acc_tta"}
    assert validation == final_evaluation.validate(final, checkpoint.load_model(final.model), asked)
    assert 100 / 20 < validation["val_acc"] <= 100


def test_the_table_holds_what_was_tested(final: FinalFolder, tiny_test: ImageSet) -> None:
    table = pq.read_table(final.folder.path / "test_predictions.parquet")
    rows = table.to_pylist()
    assert [row["label"] for row in rows] == tiny_test.labels.tolist()
    metrics = json.loads((final.folder.path / "metrics.json").read_text())
    assert 100 * np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(metrics["test_acc"])
    assert -np.mean(np.log([row["probability_of_label"] for row in rows])) == pytest.approx(metrics["test_loss"])
    assert json.loads(table.schema.metadata[b"about"]) == {"seeds": [42, 43], "tta": True}
