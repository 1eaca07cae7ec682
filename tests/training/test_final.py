"""The final model: trained to the end whatever happens on the way, tested once, and told about in full."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tune.results import RunFolder
from tune.training import checkpoint, final_evaluation
from tune.training.config import TrainConfig, at_horizon
from tune.training.data import TrainingData
from tune.training.final_folder import FinalFolder
from tune.training.final_training import FINAL_COLUMNS, Diverged, kept_request, train
from tune.training.images import ImageSet
from tune.training.loop import fit
from tune.training.metrics import predict
from tune.training.request import Request

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    model="simple_cnn", lr=0.001, batch_size=20, epochs=3, optimizer="adamw", scheduler="cosine", warmup=0.1, mixup=0.2,
    dropout=0.2, augmentation="standard",
)  # fmt: skip


@pytest.fixture
def asked(tiny_root: Path) -> Request:
    return Request(
        config=CONFIG,
        trial_id="0007",
        train_on="all",
        data="synthetic",
        data_dir=tiny_root,
        val_fraction=0.2,
        split_seed=0,
        weights=None,
    )


@pytest.fixture
def final(tmp_path: Path) -> FinalFolder:
    return FinalFolder(RunFolder(tmp_path / "run"), CPU)


@pytest.fixture(scope="module")
def uninterrupted(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """The folder `final/` of a whole training, not yet tested. To be left as it is."""
    folder = tmp_path_factory.mktemp("whole")
    request = Request(CONFIG, "0007", "all", "synthetic", tiny_root, 0.2, 0, None)
    for _ in train(FinalFolder(RunFolder(folder), CPU), request):
        pass
    return folder / "final"


@pytest.fixture
def trained(uninterrupted: Path, final: FinalFolder) -> FinalFolder:
    """One that has been trained, to be tested."""
    shutil.copytree(uninterrupted, final.folder.path)
    return final


def assert_same_model(one: Path, other: Path) -> None:
    first, second = torch.load(one, weights_only=True), torch.load(other, weights_only=True)
    assert first["config"] == second["config"]
    assert list(first["model"]) == list(second["model"])
    for key, value in first["model"].items():
        assert torch.equal(value, second["model"][key]), key


def timeless(folder: Path) -> list[dict[str, Any]]:
    rows = RunFolder(folder).read_rows("epochs.parquet")
    return [{name: value for name, value in row.items() if name not in ("wall_s", "images_per_s")} for row in rows]


# Training


def test_after_each_epoch_the_folder_is_whole(final: FinalFolder, asked: Request) -> None:
    for result in train(final, asked):
        assert [row["epoch"] for row in final.folder.read_rows("epochs.parquet")] == list(range(1, result.epoch + 1))
        assert checkpoint.load(final.checkpoint)["training"]["epoch"] == result.epoch
        assert final.model.is_file() == (result.epoch == 3)
        there = {path.name for path in final.folder.path.iterdir()}
        assert there <= {"checkpoint.pt", "epochs.parquet", "model.pt"}


def test_an_epochs_row_is_what_was_yielded(final: FinalFolder, asked: Request) -> None:
    results = list(train(final, asked))
    rows = final.folder.read_rows("epochs.parquet")
    for result, row in zip(results, rows, strict=True):
        assert list(row) == FINAL_COLUMNS.names
        assert row["trial_id"] == "0007"
        for name in ("epoch", "train_loss", "train_acc", "lr", "wall_s", "images_per_s"):
            assert row[name] == getattr(result, name)


def test_trained_on_all_there_is_nothing_to_validate_on(final: FinalFolder, asked: Request) -> None:
    first = next(train(final, asked))
    assert len(first.batch_loss) == 200 // 20
    (row,) = final.folder.read_rows("epochs.parquet")
    assert (row["val_loss"], row["val_acc"], row["val_robust_acc"]) == (None, None, None)


def test_trained_on_the_training_side_it_does_what_the_search_did(
    final: FinalFolder, asked: Request, tiny: TrainingData
) -> None:
    """The same split, so that the validation figures compare with the search's."""
    results = list(train(final, dataclasses.replace(asked, train_on="train")))
    searched = list(fit(CONFIG, tiny, CPU))
    assert len(results[0].batch_loss) == 160 // 20
    assert [(result.train_loss, result.val_acc) for result in results] == [
        (result.train_loss, result.val_acc) for result in searched
    ]
    assert [row["val_acc"] for row in final.folder.read_rows("epochs.parquet")] == [
        result.val_acc for result in searched
    ]


def test_a_loss_that_is_not_finite_ends_in_diverged_without_a_model(final: FinalFolder, asked: Request) -> None:
    wild = dataclasses.replace(asked, config=dataclasses.replace(CONFIG, lr=100.0, optimizer="sgd", mixup=0.0))
    with pytest.raises(Diverged, match=r"^the loss is not finite after epoch [1-3] of 3$"):
        list(train(final, wild))
    assert not final.model.exists()


# Interrupted


@pytest.mark.parametrize("after", [1, 2])
def test_a_resumed_training_ends_with_the_same_weights(
    after: int, final: FinalFolder, asked: Request, uninterrupted: Path
) -> None:
    running = train(final, asked)
    assert [result.epoch for result in islice(running, after)] == list(range(1, after + 1))
    running.close()
    assert not final.model.exists()
    torch.manual_seed(99)
    again = FinalFolder(RunFolder(final.folder.path.parent), CPU)
    assert [result.epoch for result in train(again, asked)] == list(range(after + 1, 4))
    assert_same_model(again.model, uninterrupted / "model.pt")
    assert timeless(again.folder.path) == timeless(uninterrupted)


def test_stopped_between_rows_and_checkpoint_no_epoch_is_told_twice(
    final: FinalFolder, asked: Request, uninterrupted: Path, tmp_path: Path
) -> None:
    running = train(final, asked)
    next(running)
    shutil.copy(final.checkpoint, tmp_path / "of epoch 1")
    next(running)
    running.close()
    shutil.copy(tmp_path / "of epoch 1", final.checkpoint)
    assert len(final.folder.read_rows("epochs.parquet")) == 2
    assert [result.epoch for result in train(final, asked)] == [2, 3]
    assert timeless(final.folder.path) == timeless(uninterrupted)
    assert_same_model(final.model, uninterrupted / "model.pt")


def test_stopped_after_the_last_epoch_it_is_ready_to_be_tested(trained: FinalFolder, asked: Request) -> None:
    before = trained.model.read_bytes()
    assert list(train(trained, asked)) == []
    assert trained.model.read_bytes() == before
    assert final_evaluation.evaluate(trained, asked)["epochs"] == 3


def test_a_checkpoint_remembers_what_it_was_made_for(trained: FinalFolder, asked: Request) -> None:
    other = dataclasses.replace(asked, config=at_horizon(CONFIG, 50), trial_id="0001", train_on="train")
    assert other.resumed(kept_request(trained)) == asked


def test_a_checkpoint_for_another_configuration_is_refused(trained: FinalFolder, asked: Request) -> None:
    other = dataclasses.replace(asked, config=at_horizon(CONFIG, 50))
    with pytest.raises(ValueError, match="another configuration"):
        next(train(trained, other))


# Tested


def test_the_metrics_are_written_as_told(trained: FinalFolder, asked: Request) -> None:
    metrics = final_evaluation.evaluate(trained, asked)
    assert json.loads((trained.folder.path / "metrics.json").read_text()) == metrics
    assert metrics["config"] == CONFIG.to_dict()
    assert {name: metrics[name] for name in ("trial_id", "seeds", "epochs", "train_on", "device", "data")} == {
        "trial_id": "0007", "seeds": [42], "epochs": 3, "train_on": "all", "device": "CPU", "data": "synthetic",
    }  # fmt: skip
    assert metrics["train_s"] == sum(row["wall_s"] for row in trained.folder.read_rows("epochs.parquet")) > 0


def test_the_figures_are_those_of_the_model_on_the_test_images(
    trained: FinalFolder, asked: Request, tiny_test: ImageSet
) -> None:
    classifier = checkpoint.load_model(trained.model, CPU)
    out = classifier.log_probabilities(tiny_test.pixels).double()
    losses = out.logsumexp(1) - out[range(100), tiny_test.labels]
    hits = int((out.argmax(1) == tiny_test.labels).sum())
    metrics = final_evaluation.evaluate(trained, asked)
    assert 5 < hits < 100, "the data are too easy or too hard to tell anything"
    assert metrics["test_images"] == 100
    assert metrics["test_acc"] == hits
    assert metrics["test_loss"] == pytest.approx(losses.mean().item(), rel=1e-4)
    half = 1.959964 * losses.std().item() / math.sqrt(100)
    assert metrics["test_loss_interval95"] == pytest.approx(
        [losses.mean().item() - half, losses.mean().item() + half], rel=1e-4
    )
    assert metrics["test_acc_interval95"] == pytest.approx(wilson(hits, 100))


def wilson(hits: int, n: int) -> list[float]:
    """The interval in per cent, as Wilson (1927) gives it."""
    z, share = 1.959963984540054, hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return [100 * (centre - half) / (1 + z * z / n), 100 * (centre + half) / (1 + z * z / n)]


@pytest.mark.parametrize("hits", [0, 3, 25])
def test_the_interval_is_wilsons_to_its_ends(hits: int, uninterrupted: Path, tiny_test: ImageSet) -> None:
    """Of 25 images, whose labels are given so that so many are right."""
    classifier = checkpoint.load_model(uninterrupted / "model.pt", CPU)
    labels = classifier.log_probabilities(tiny_test.pixels).argmax(1)
    labels[hits:] = (labels[hits:] + 1) % 100
    images = dataclasses.replace(tiny_test, labels=labels, index=torch.arange(25))
    told = predict(classifier.predictor(), images).metrics()
    assert told["test_acc"] == 100 * hits / 25
    assert told["test_acc_interval95"] == pytest.approx(wilson(hits, 25), abs=1e-9)
    assert 0 <= told["test_acc_interval95"][0] <= told["test_acc"] <= told["test_acc_interval95"][1] <= 100


def test_the_checkpoint_goes_when_the_test_is_done(trained: FinalFolder, asked: Request) -> None:
    assert trained.checkpoint.is_file()
    final_evaluation.evaluate(trained, asked)
    assert {path.name for path in trained.folder.path.iterdir()} == {
        "epochs.parquet", "metrics.json", "model.pt", "test_looks.json", "test_predictions.parquet",
    }  # fmt: skip


def test_testing_again_tells_the_same(trained: FinalFolder, asked: Request) -> None:
    first, second = (final_evaluation.evaluate(trained, asked) | {"finished": None} for _ in range(2))
    assert first == second
