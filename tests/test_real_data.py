"""Both commands on the real CIFAR-100, with each architecture at a size that two CPU cores bear."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import ROOT
from tests.a_web_server import NOBODY
from tune import cli, finalize, run
from tune.results import RunFolder
from tune.search import calibrate
from tune.search.calibrate import Calibration
from tune.training import cifar100, data, images, sources
from tune.training.config import TrainConfig
from tune.training.loop import fit

RESNET_SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="{model}", epochs=1, trials=1, cpus_per_trial=1,
    parameters={{"lr": tune.loguniform(1e-3, 0.1), "batch_size": tune.choice([20, 50]), "image_size": {size}}},
    reference={{"lr": 0.01, "batch_size": 20, "image_size": {size}}},
)
"""


def few_of(data_dir: Path, few: Path) -> Path:
    """A --data-dir with the first 10,000 of the real images to train on, and all to test on, still to be made ready."""
    every = images.read(sources.prepare("cifar100", data_dir, "train"))
    first = every.pixels[:10_000].numpy(), every.labels[:10_000].numpy()
    images.write(cifar100.arrow_file(few, "train"), *first, {"class_names": every.class_names})
    (few / "cifar-100-python").symlink_to(data_dir / "cifar-100-python")
    return few


def search(space: Path, data_dir: Path, storage: Path, *more: str) -> tuple[int, RunFolder]:
    given = ["--space", space, "--data-dir", data_dir, "--storage", storage, "--name", "run"]
    code = cli.run(run.prepare, [*map(str, given), "--wandb", "disabled", "--gpus-per-trial", "0", *more])
    return code, RunFolder(storage / "run")


@pytest.mark.usefixtures("one_ray")
def test_simple_cnn_from_the_shipped_space_to_a_tested_model(
    cifar100_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = ROOT / "search_spaces" / "simple_cnn.py"
    monkeypatch.setattr(calibrate, "SECONDS", 0.2)
    more = ["--train-subset", "3000", "--val-fraction", "0.05", "--trials", "3", "--max-epochs", "2", "--seed", "0"]
    code, folder = search(space, cifar100_root, tmp_path, *more)
    assert code == cli.DONE
    assert not (cifar100_root / "arrow" / "cifar100-test.arrow").exists(), "a search has no business with test images"
    about = folder.read_json("experiment.json")
    assert about["settings"]["cpus_per_trial"] == Calibration.from_dict(about["calibration"]).best.cpus
    trials = {row["trial_id"]: row for row in folder.read_rows("trials.parquet")}
    assert trials["0000"]["val_acc"] > 2, "twice what chance gives"
    report = trials["0001"]
    assert (report["origin"], report["config.lr"], report["config.batch_size"]) == ("baseline", 0.1, 8)
    # Poor, not diverged. It is not stopped if its process starts so early that it is the first at the rung.
    assert report["status"] in ("stopped", "finished")
    assert report["val_acc"] == pytest.approx(1.0, abs=0.5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tune.training.ood.UPSTREAM", f"{NOBODY}/{{name}}.npy")
    few = ["--data-dir", str(few_of(cifar100_root, tmp_path / "few")), "--epochs", "1", "--train-on", "train"]
    assert cli.run(finalize.prepare, [str(folder.path), *few]) == cli.WRONG_INPUT, "these are other images"
    about = folder.read_json("experiment.json")
    del about["data_fingerprint"]  # so that the test takes seconds
    folder.write_json("experiment.json", about)
    assert cli.run(finalize.prepare, [str(folder.path), *few]) == cli.DONE
    metrics = RunFolder(folder.final).read_json("metrics.json")
    assert metrics["test_images"] == 10_000
    assert metrics["test_acc"] > 5, "an epoch of 9,500 images"


@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize(("model", "size"), [pytest.param("resnet18", 16, marks=pytest.mark.slow), ("resnet50", 32)])
def test_the_resnets_go_through_the_same_command(
    model: str, size: int, cifar100_root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    space = tmp_path / "space.py"
    space.write_text(RESNET_SPACE.format(model=model, size=size))
    more = ["--train-subset", "100", "--val-fraction", "0.002"]
    if model == "resnet50":
        more += ["--weights", str(request.getfixturevalue("resnet50_weights"))]
    code, folder = search(space, cifar100_root, tmp_path, *more)
    assert code == cli.DONE
    assert [row["status"] for row in folder.read_rows("trials.parquet")] == ["finished"]


@pytest.mark.slow
def test_fine_tuning_resnet50_beats_random_weights(cifar100_root: Path, resnet50_weights: Path) -> None:
    """300 images, 4 epochs, 64 px; about three minutes on two cores. The figures stand in docs/log.md."""
    real = data.load_training(sources.prepare("cifar100", cifar100_root, "train"), 0.02, 0, 300)
    config = TrainConfig(
        model="resnet50", lr=0.02, batch_size=15, epochs=4, scheduler="one_cycle", image_size=64, augmentation="none"
    )
    accuracy = {}
    for weights in (resnet50_weights, None):
        *_, last = fit(config, real, torch.device("cpu"), weights=weights)
        assert last.val_acc is not None
        accuracy[weights] = last.val_acc
        print(f"{weights}: {last.val_acc:.2f} % of {len(real.val or ())} validation images")
    assert accuracy[resnet50_weights] > accuracy[None] + 2
