"""The second command: real training on synthetic data, then its files, its refusals and its resumption."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.a_search import settings
from tests.a_web_server import NOBODY
from tests.wandb_file import read_run
from tune import cli, final_checks, finalize, results
from tune.results import EPOCHS, TRIALS, RunFolder
from tune.settings import Settings
from tune.training import checkpoint, data, images, ood, sources, synthetic
from tune.training.config import TrainConfig
from tune.training.final_folder import FinalFolder
from tune.training.final_training import train

CONFIG = TrainConfig(model="simple_cnn", lr=0.08, batch_size=16, epochs=4, scheduler="cosine", seed=3)
TRAIN_IMAGES = 2000


@pytest.fixture(scope="module")
def few_root(synthetic_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data-dir with 2,000 synthetic images to train on and 1,000 to test on. OOD files are still to be drawn."""
    root = tmp_path_factory.mktemp("few")
    every = images.read(sources.prepare("synthetic", synthetic_root, "train"))
    for split, some in (("train", slice(TRAIN_IMAGES)), ("test", slice(TRAIN_IMAGES, TRAIN_IMAGES + 1000))):
        few = every.pixels[some].numpy(), every.labels[some].numpy()
        images.write(synthetic.arrow_file(root, split), *few, {"class_names": every.class_names})
    return root


def searched(storage: Path, data_dir: Path) -> RunFolder:
    """A run as a search leaves it: two finished trials, the second one chosen."""
    folder = results.create(storage, "run")
    asked = settings(data_dir=str(data_dir), storage=str(storage))
    folder.write_json("experiment.json", {"settings": asked.to_dict(), "started": results.now()})
    columns = {f"config.{name}": value for name, value in CONFIG.to_dict().items()}
    row = {"status": "finished", "origin": "search", "epochs": 4, **columns}
    rows = [row | {"trial_id": "0000", "config.lr": 0.01, "val_acc": 1.0}, row | {"trial_id": "0001", "val_acc": 2.0}]
    folder.write_table("trials.parquet", rows, TRIALS)
    folder.write_table("epochs.parquet", [], EPOCHS)
    folder.write_json("best.json", {"trial_id": "0001", "config": CONFIG.to_dict()})
    return folder


def finish(folder: RunFolder, *more: str) -> int:
    return cli.run(finalize.prepare, [str(folder.path), *more])


@pytest.fixture
def run_folder(tmp_path: Path, few_root: Path) -> RunFolder:
    return searched(tmp_path / "results", few_root)


@pytest.fixture(scope="module")
def whole(few_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `final/` of a training of two epochs that nothing interrupted. To be left as it is."""
    folder = searched(tmp_path_factory.mktemp("whole"), few_root)
    assert finish(folder, "--epochs", "2", "--wandb", "offline") == cli.DONE
    return folder.final


def test_the_best_configuration_is_trained_tested_and_used_on_the_ood_files(whole: Path, few_root: Path) -> None:
    metrics = RunFolder(whole).read_json("metrics.json")
    assert (metrics["trial_id"], metrics["epochs"], metrics["train_on"]) == ("0001", 2, "all")
    assert metrics["config"] == CONFIG.to_dict() | {"epochs": 2}
    low, high = metrics["test_acc_interval95"]
    assert 2 < low < metrics["test_acc"] < high
    rows = RunFolder(whole).read_rows("epochs.parquet")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[0]["val_acc"] is None, "all images were trained on, so nothing was validated"

    # The model is usable as it lies there, and says what the submission says.
    parts = {"model", "config", "preprocessing", "class_names", "tta", "training_id"}
    assert set(torch.load(whole / "model.pt", weights_only=True)) == parts
    classifier = checkpoint.load_model(whole / "model.pt", torch.device("cpu"))
    test = data.load_test(sources.prepare("synthetic", few_root, "test"))
    accuracy = (classifier.log_probabilities(test.pixels).argmax(1) == test.labels).double().mean().item()
    assert 100 * accuracy == pytest.approx(metrics["test_acc"], abs=0.11)

    with (whole / "submission_ood.csv").open() as file:
        submission = list(csv.DictReader(file))
    pixels = [np.load(path) for path in ood.locate(few_root / "synthetic-v1-ood")]
    n = len(pixels[0]) // 5
    assert [row["id"] for row in submission[: n + 1]] == [f"distortion00_1_{i}" for i in range(n)] + [
        "distortion00_2_0"
    ]
    assert len(submission) == 19 * 5 * n
    one = classifier.log_probabilities(torch.from_numpy(pixels[7][2 * n : 3 * n])).argmax(1).tolist()
    assert [int(row["label"]) for row in submission if row["id"].startswith("distortion07_3_")] == one


def test_wandb_has_the_final_training_as_a_run_of_its_own(whole: Path) -> None:
    (run,) = [read_run(file) for file in whole.parent.glob("wandb/offline-run-*/*.wandb")]
    assert (run.group, run.job_type, run.name, run.tags, run.ended) == ("run", "final", "run-final", ["finished"], True)
    about = CONFIG.to_dict() | {"epochs": 2, "trial_id": "0001", "train_on": "all", "origin": "final"}
    assert run.config.items() >= about.items()
    rows = RunFolder(whole).read_rows("epochs.parquet")
    logged = [row for row in run.history if "train_acc" in row]
    assert [(row["epoch"], row["train_loss"]) for row in logged] == [(row["epoch"], row["train_loss"]) for row in rows]
    points = [row["step"] for row in run.history if "batch_loss" in row]
    steps = TRAIN_IMAGES // CONFIG.batch_size
    assert (len(points), points[-1]) == (2 * 100, 2 * steps), "a hundred an epoch"
    metrics = RunFolder(whole).read_json("metrics.json")
    assert {name: run.summary[name] for name in metrics if name.startswith("test_")} == {
        name: value for name, value in metrics.items() if name.startswith("test_")
    }
    assert run.artifacts == [
        ("run-model", "model", {"model.pt": str(whole / "model.pt")}),
        ("run-ood", "predictions", {"submission_ood.csv": str(whole / "submission_ood.csv")}),
    ]


def test_an_interrupted_training_goes_on_to_the_same_weights(
    run_folder: RunFolder, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final = FinalFolder(run_folder, torch.device("cpu"))
    asked = Settings.from_dict(run_folder.read_json("experiment.json")["settings"])
    options = finalize.parse([str(run_folder.path), "--epochs", "2"])
    request = final_checks.make_request(final, run_folder, asked, Path(asked.data_dir), options)
    epochs = train(final, request)
    next(epochs)
    epochs.close()  # killed here, between two epochs

    assert finish(run_folder) == cli.WRONG_INPUT, "a half-finished final/ is not overwritten unasked"
    assert "--resume" in capsys.readouterr().err
    assert finish(run_folder, "--resume", "--epochs", "7") == cli.WRONG_INPUT
    assert "made for --epochs 2" in capsys.readouterr().err
    assert finish(run_folder, "--resume") == cli.DONE
    one, other = (torch.load(final / "model.pt", weights_only=True)["model"] for final in (whole, run_folder.final))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert [row["epoch"] for row in RunFolder(run_folder.final).read_rows("epochs.parquet")] == [1, 2]


def test_another_trial_and_the_training_part_alone(run_folder: RunFolder) -> None:
    assert finish(run_folder, "--epochs", "1", "--trial", "0", "--train-on", "train") == cli.DONE
    metrics = RunFolder(run_folder.final).read_json("metrics.json")
    assert (metrics["trial_id"], metrics["config"]["lr"], metrics["train_on"]) == ("0000", 0.01, "train")
    assert RunFolder(run_folder.final).read_rows("epochs.parquet")[0]["val_acc"] is not None
    assert not (run_folder.path / "wandb").exists(), "the search had W&B disabled, and nothing else was asked for"


@pytest.mark.parametrize(
    ("name", "told"), [("data_fingerprint", "different images"), ("weights_sha256", "different weights")]
)
def test_other_images_or_weights_than_the_searchs_are_refused(
    run_folder: RunFolder, name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder.write_json("experiment.json", run_folder.read_json("experiment.json") | {name: "0123"})
    assert finish(run_folder, "--epochs", "1") == cli.WRONG_INPUT
    assert told in capsys.readouterr().err


def test_two_commands_do_not_work_in_one_final_folder(
    run_folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = FinalFolder(run_folder, torch.device("cpu")).lock()
    assert finish(run_folder, "--epochs", "1") == cli.WRONG_INPUT
    assert "in use by another process" in capsys.readouterr().err
    lock.release()


def test_without_ood_files_and_network_it_says_so_and_does_all_else(
    run_folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(ood, "UPSTREAM", f"{NOBODY}/{{name}}.npy")
    missing = ["--ood-dir", str(tmp_path / "nothing")]
    assert finish(run_folder, "--epochs", "1", "--wandb", "offline", *missing) == cli.DONE
    out = capsys.readouterr().out
    assert out.index("No OOD predictions") < out.index("epoch 1:"), "it is said before hours are spent"
    assert (run_folder.final / "metrics.json").is_file()
    assert not (run_folder.final / "submission_ood.csv").exists()

    model = (run_folder.final / "model.pt").read_bytes()
    assert finish(run_folder, "--ood-only", *missing) == cli.WRONG_INPUT
    assert finish(run_folder, "--ood-only", "--wandb", "offline") == cli.DONE
    runs = [read_run(file) for file in run_folder.path.glob("wandb/offline-run-*/*.wandb")]
    assert len({run.id for run in runs}) == 1, "W&B goes on with the run"
    assert sorted(name for run in runs for name, _, _ in run.artifacts) == ["run-model", "run-ood"]
    assert (run_folder.final / "submission_ood.csv").is_file()
    assert (run_folder.final / "model.pt").read_bytes() == model, "only predictions were asked for"

    assert finish(run_folder, "--epochs", "1") == cli.WRONG_INPUT
    assert "--overwrite" in capsys.readouterr().err
    assert finish(run_folder, "--epochs", "1", "--overwrite") == cli.DONE


def test_a_final_training_that_diverges_fails_and_leaves_no_model(
    run_folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = CONFIG.to_dict() | {"lr": 100.0, "weight_decay": 10.0}
    run_folder.write_json("best.json", {"trial_id": "0001", "config": wild})
    assert finish(run_folder, "--epochs", "1") == cli.FAILED
    assert "--trial" in capsys.readouterr().err
    assert not (run_folder.final / "model.pt").exists()


def test_a_data_dir_where_nothing_can_be_drawn_is_told(
    run_folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert finish(run_folder, "--data-dir", str(tmp_path / "file")) == cli.WRONG_INPUT
    assert "file (Not a directory)" in capsys.readouterr().err
