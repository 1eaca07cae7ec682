"""The final training in W&B's offline files, as `tune.finalize` leaves them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_data import small
from tests.test_finalize import CONFIG, finish, searched
from tests.wandb_file import OfflineRun, read_run
from tune import cli, tracking
from tune.results import RunFolder

EPOCHS = 2
FIRST, SECOND = CONFIG.seed, CONFIG.seed + 1


@pytest.fixture(scope="module")
def of_two_seeds(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a final model of two seeds, tested with views."""
    here = tmp_path_factory.mktemp("seeds")
    folder = searched(here / "results", small(here))
    asked = ["--epochs", str(EPOCHS), "--seeds", "2", "--tta", "--wandb", "offline"]
    assert finish(folder, *asked, "--ood-dir", str(here)) == cli.DONE
    return folder


def runs(folder: RunFolder) -> dict[str, OfflineRun]:
    """By name."""
    read = [read_run(path) for path in folder.path.glob("wandb/offline-run-*/*.wandb")]
    assert len({run.name for run in read}) == len(read)
    return {run.name: run for run in read}


def test_each_seed_has_a_run_whose_axes_only_grow(of_two_seeds: RunFolder) -> None:
    found = runs(of_two_seeds)
    assert found.keys() == {"run-final", f"run-final-seed{FIRST}", f"run-final-seed{SECOND}"}
    assert {run.group for run in found.values()} == {"run"}
    assert all(run.ended and run.tags == ["finished"] for run in found.values())
    rows = RunFolder(of_two_seeds.final).read_rows("epochs.parquet")
    for seed in (FIRST, SECOND):
        run = found[f"run-final-seed{seed}"]
        assert (run.job_type, run.config["seed"], run.config["trial_id"]) == ("final-seed", seed, "0001")
        logged = [(row["epoch"], row["train_loss"]) for row in run.history if "epoch" in row]
        assert logged == [(row["epoch"], row["train_loss"]) for row in rows if row["seed"] == seed]
        assert [epoch for epoch, _ in logged] == list(range(1, EPOCHS + 1))
        steps = [row["step"] for row in run.history if "step" in row]
        assert steps == sorted(set(steps))
    assert found["run-final"].history == []


def test_the_models_own_run_has_the_test_over_the_seeds(of_two_seeds: RunFolder) -> None:
    found = runs(of_two_seeds)
    metrics = RunFolder(of_two_seeds.final).read_json("metrics.json")
    run = found["run-final"]
    assert run.job_type == "final"
    assert run.config.items() >= {"seeds": [FIRST, SECOND], "tta": True, "trial_id": "0001", "epochs": EPOCHS}.items()
    for name in ("test_acc", "over_seeds", "ood"):
        assert run.summary[name] == metrics[name]
    assert run.summary["ood"]["tta"] is True
    assert {name for name, _, _ in run.artifacts} == {"run-model", "run-ood"}
    for row in metrics["each_seed"]:
        own = found[f"run-final-seed{row['seed']}"]
        assert (own.summary["test_acc"], own.artifacts) == (row["test_acc"], [])


def test_predictions_of_a_model_trained_without_wandb_are_one_run(tmp_path: Path) -> None:
    folder = searched(tmp_path / "results", small(tmp_path))
    ood = ["--ood-dir", str(tmp_path)]
    assert finish(folder, "--epochs", "1", *ood) == cli.DONE
    assert tracking.recall(RunFolder(folder.final)) is None
    for _ in range(2):
        assert finish(folder, "--ood-only", "--wandb", "offline", *ood) == cli.DONE
    found = [read_run(path) for path in folder.path.glob("wandb/offline-run-*/*.wandb")]
    assert len(found) == 2
    assert {run.id for run in found} == {tracking.recall(RunFolder(folder.final))}
