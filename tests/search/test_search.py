"""Real searches: real Ray, real trials on synthetic data, W&B off. Each test tells what a user would see."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.a_search import settings
from tune import cli, run
from tune.results import TRIALS, RunFolder, config_of, create
from tune.search import confirm
from tune.search.journal import Journal
from tune.search.proposals import HeadStart, Known, Proposer, score
from tune.space import load
from tune.training import images, sources
from tune.training.config import TrainConfig

pytestmark = pytest.mark.usefixtures("one_ray")

SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=2, trials=4, cpus_per_trial=1,
    parameters={
        "lr": tune.loguniform(1e-4, 100.0),
        "weight_decay": tune.choice([0.0, 10.0]),
        "batch_size": tune.choice([64, 128]),
        "augmentation": tune.choice(["none", "crop_flip"]),
        "schedule": tune.choice([{"scheduler": "cosine"}, {"scheduler": "step", "gamma": tune.uniform(0.5, 1.0)}]),
    },
    reference={"lr": 0.1, "weight_decay": 0.0, "batch_size": 64, "augmentation": "none", "scheduler": "cosine"},
    baselines=[
        {"lr": 100.0, "weight_decay": 10.0, "batch_size": 64, "augmentation": "none", "scheduler": "step", "gamma": 0.9}
    ],
)
"""

SMALL = ("--train-subset", "500", "--val-fraction", "0.1", "--cpus-per-trial", "1")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.py"
    path.write_text(SPACE)
    return path


def search(space: Path, storage: Path, data_dir: Path, name: str, *more: str) -> tuple[int, RunFolder]:
    given = ["--space", space, "--data", "synthetic", "--data-dir", data_dir, "--storage", storage, "--name", name]
    defaults = ["--train-subset", "2000", "--seed", "0", "--gpus-per-trial", "0", "--wandb", "disabled"]
    code = cli.run(run.prepare, [*map(str, given), *defaults, *more])
    return code, RunFolder(storage / name)


def comparable(folder: RunFolder) -> list[dict[str, Any]]:
    """The rows of epochs.parquet without what the clock says."""
    timed = ("wall_s", "images_per_s")
    rows = [{k: v for k, v in row.items() if k not in timed} for row in folder.read_rows("epochs.parquet")]
    return sorted(rows, key=lambda row: (row["trial_id"], row["epoch"]))


def configs(folder: RunFolder) -> dict[str, dict[str, Any]]:
    rows = folder.read_rows("trials.parquet")
    return {row["trial_id"]: {k: v for k, v in row.items() if k.startswith("config.")} for row in rows}


def test_a_search_leaves_what_the_contract_says(
    space: Path, tmp_path: Path, synthetic_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, folder = search(
        space, tmp_path, synthetic_root, "one", "--val-fraction", "0.05", "--trials", "6", "--max-epochs", "4"
    )
    assert code == cli.DONE
    trials = {row["trial_id"]: row for row in folder.read_rows("trials.parquet")}
    epochs = folder.read_rows("epochs.parquet")

    assert list(trials) == [f"{n:04d}" for n in range(6)]
    assert [trials[n]["origin"] for n in ("0000", "0001", "0002")] == ["reference", "baseline", "search"]
    # Weights that grow a thousandfold a step end the trial, and no accuracy is left that could pass for a result.
    assert trials["0001"]["status"] == "diverged"
    assert trials["0001"]["epochs"] == 1
    assert trials["0001"]["val_acc"] is None
    assert trials["0000"]["status"] == "finished"
    statuses = {row["status"] for row in trials.values()}
    assert "stopped" in statuses, "ASHA stopped nothing"
    assert statuses <= {"finished", "stopped", "diverged"}
    for trial_id, row in trials.items():
        own = [epoch for epoch in epochs if epoch["trial_id"] == trial_id]
        assert [epoch["epoch"] for epoch in own] == list(range(1, row["epochs"] + 1))
        assert row["epochs"] == 4 or row["status"] != "finished"

    rungs = folder.read_json("rungs.json")
    assert list(rungs["rungs"]) == ["1", "2"]
    at_first = {e["trial_id"]: e["val_acc"] for e in epochs if e["epoch"] == 1}  # null where it diverged
    assert rungs["rungs"]["1"] == at_first, "a diverged trial stands on its rung, as the worst"
    best = folder.read_json("best.json")
    assert best["val_acc"] == max(r["val_acc"] for r in trials.values() if r["status"] == "finished") > 5
    about = folder.read_json("experiment.json")
    assert about["settings"]["seed"] == 0
    assert about["versions"]["torch"]
    assert about["ended"] >= about["started"]
    assert re.fullmatch("[0-9a-f]{64}", about["data_fingerprint"])
    # The test images were neither opened nor even drawn.
    assert not list(synthetic_root.glob("arrow/*test*"))

    out, err = capfd.readouterr()
    assert "Next: python -m tune.finalize one" in out
    assert "\x1b" not in out, "control codes in a pipe"
    assert err == "", "noise on stderr"


@pytest.mark.slow  # test_survival.py kills a driver; benchmarks/test_replay.py compares the decisions after a death
def test_a_search_that_died_at_a_rung_goes_on_to_the_same_results(
    space: Path, tmp_path: Path, synthetic_root: Path, in_turns: None
) -> None:
    """What lies on the disk when ASHA has let a trial go on is all that a kill -9 leaves."""
    small = (*SMALL, "--max-epochs", "3", "--trials", "5")
    left: list[Path] = []
    write = Journal.write

    def keep(journal: Journal) -> None:
        write(journal)
        left.append(tmp_path / "left" / str(len(left)) / "one")
        shutil.copytree(journal.folder.path, left[-1], ignore=shutil.ignore_patterns("ray"))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "write", keep)
        _, whole = search(space, tmp_path, synthetic_root, "one", *small)
    rungs = [RunFolder(path).read_json("rungs.json")["rungs"] for path in left]
    running = [{row["status"] for row in RunFolder(path).read_rows("trials.parquet")} for path in left]
    died = next(i for i, rung in enumerate(rungs) if len(rung["1"]) >= 3 and "running" in running[i])

    where = str(left[died])
    assert cli.run(run.prepare, ["--resume", where]) == cli.DONE
    resumed = RunFolder(left[died])
    assert configs(resumed) == configs(whole)
    assert comparable(resumed) == comparable(whole)
    assert resumed.read_json("rungs.json") == whole.read_json("rungs.json")
    for changing in ("resumed", "spent_s", "started", "ended"):
        assert changing in resumed.read_json("experiment.json")

    # Nothing is left to do; then there is.
    before = (resumed.path / "epochs.parquet").read_bytes()
    assert cli.run(run.prepare, ["--resume", where, "--trials", "5", "--seed", "0"]) == cli.DONE
    assert (resumed.path / "epochs.parquet").read_bytes() == before
    assert cli.run(run.prepare, ["--resume", where, "--trials", "6"]) == cli.DONE
    assert configs(whole).items() < configs(resumed).items()
    assert len(configs(resumed)) == 6
    assert comparable(whole) == [row for row in comparable(resumed) if row["trial_id"] != "0005"]


@pytest.mark.slow  # test_confirm.py holds the choice itself
def test_the_best_are_trained_again_on_other_seeds_and_a_death_among_the_reruns_loses_nothing(
    space: Path, tmp_path: Path, synthetic_root: Path, in_turns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    space.write_text(SPACE[: SPACE.index("    baselines")] + ")\n")
    asked = (*SMALL, "--max-epochs", "1", "--trials", "3", "--confirm", "2", "--seeds", "2")
    code, folder = search(space, tmp_path, synthetic_root, "one", *asked)
    assert code == cli.DONE
    rows = confirm.reruns(folder)
    of = {row["trial_id"]: row for row in folder.read_rows("trials.parquet")}
    best_two = sorted(of, key=lambda trial_id: -(of[trial_id]["val_acc"] or 0))[:2]
    assert sorted((row["trial_id"], row["seed"]) for row in rows) == sorted((t, s) for t in best_two for s in (1, 2))
    assert {row["status"] for row in rows} == {"finished"}
    best = folder.read_json("best.json")
    mine = [row["val_acc"] for row in rows if row["trial_id"] == best["trial_id"]]
    assert best["val_acc"] == pytest.approx(sum(mine) / 2)
    assert best["val_acc"] != of[best["trial_id"]]["val_acc"]
    assert "over 2 other seeds" in capsys.readouterr().out
    searched_for = folder.read_json("experiment.json")["spent_s"]

    folder.write_table("confirm.parquet", rows[:-1], confirm.RERUNS)
    folder.write_json("best.json", {"trial_id": "0000"})
    assert cli.run(run.prepare, ["--resume", str(folder.path)]) == cli.DONE
    timed = ("wall_s",)
    again, before = (
        [{k: v for k, v in r.items() if k not in timed} for r in x] for x in (confirm.reruns(folder), rows)
    )
    assert again == before, "only what was missing is trained, to the same figures"
    chosen = folder.read_json("best.json")  # either, as they tie and seconds differ; the figures are those of before
    assert {one["trial_id"]: one["mean"] for one in chosen["confirmed"]} == {
        one["trial_id"]: one["mean"] for one in best["confirmed"]
    }
    assert folder.read_json("experiment.json")["spent_s"] == pytest.approx(searched_for, abs=0.5), (
        "reruns are not in the search's time"
    )


@pytest.mark.slow
def test_a_warm_start_outlives_the_run_it_came_from(
    space: Path, tmp_path: Path, synthetic_root: Path, in_turns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve trials of an earlier run, made by hand, whose best has lr 0.012."""
    space.write_text(SPACE[: SPACE.index("    baselines")] + ")\n")
    earlier = create(tmp_path, "earlier")
    asked = settings(train_subset=500, val_fraction=0.1, max_epochs=1, seed=5)
    arrow = sources.prepare("synthetic", synthetic_root, "train")
    about = {"settings": asked.to_dict(), "data_fingerprint": images.read_metadata(arrow)["fingerprint"]}
    earlier.write_json("experiment.json", about)
    rows = []
    for number in range(12):
        config = TrainConfig(model="simple_cnn", lr=0.001 * (number + 1), batch_size=128, epochs=1, scheduler="cosine",
                             augmentation="none", seed=5)  # fmt: skip
        columns = {f"config.{name}": value for name, value in config.to_dict().items()}
        ended = {"trial_id": f"{number:04d}", "status": "finished", "epochs": 1, "val_acc": 5.0 + number}
        rows.append(ended | columns)
    earlier.write_table("trials.parquet", rows, TRIALS)
    earlier.write_json("best.json", {"trial_id": "0011"})
    small = (*SMALL, "--max-epochs", "1", "--trials", "2", "--warm-start", "earlier")
    code, folder = search(space, tmp_path, synthetic_root, "one", *small)
    assert code == cli.DONE
    out = capsys.readouterr().out
    assert "Warm start: earlier, 12 of 12 trials are known from the start; its best, trial 0011, runs right" in out
    told = out[out.index("2 trials: 2 finished") :]
    assert "Warm start: " in told or "(warm_start)" in told, (
        "its outcome is told beside the reference's, or as the best"
    )
    trials = folder.read_rows("trials.parquet")
    assert [row["origin"] for row in trials] == ["reference", "warm_start"]
    assert (trials[1]["config.lr"], trials[1]["config.seed"]) == (0.012, 0)

    shutil.rmtree(earlier.path)
    where = str(folder.path)
    assert cli.run(run.prepare, ["--resume", where, "--warm-start", "other"]) == cli.WRONG_INPUT
    assert cli.run(run.prepare, ["--resume", where, "--warm-start", "earlier", "--trials", "3"]) == cli.DONE
    trials = folder.read_rows("trials.parquet")
    # What a proposer answers that was told all that the earlier run knew.
    searched, _ = load(space)
    known = tuple(Known(replace(config_of(row), seed=0), score(1, row["val_acc"], False)) for row in rows)
    here = [Known(config_of(row), score(1, row["val_acc"], False)) for row in trials[:2]]
    proposer = Proposer(searched, epochs=1, seed=0, head_start=HeadStart(known, known[-1].config))
    assert ("search", config_of(trials[2])) == proposer.propose(2, here)
    assert proposer.propose(2, here) != Proposer(searched, epochs=1, seed=0).propose(2, here), "TPE, not chance"

    (folder.path / "warm_start.parquet").unlink()
    capsys.readouterr()
    assert cli.run(run.prepare, ["--resume", where, "--trials", "4"]) == cli.WRONG_INPUT
    assert "one holds no warm_start.parquet" in capsys.readouterr().err


@pytest.mark.slow
def test_a_trial_that_fails_is_recorded_and_the_search_says_why_nothing_finished(
    space: Path, tmp_path: Path, synthetic_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The images vanish after the checks and before the trials read them."""
    arguments = ["--space", str(space), "--data", "synthetic", "--data-dir", str(synthetic_root), "--name", "broken"]
    arguments += ["--storage", str(tmp_path), "--wandb", "offline", "--gpus-per-trial", "0", "--trials", "1"]
    work = run.prepare(arguments)
    (arrow,) = synthetic_root.glob("arrow/*train.arrow")
    hidden = arrow.rename(arrow.with_suffix(".hidden"))
    try:
        with pytest.raises(cli.WorkFailed, match=r"1 of 1 failed, trial 0000 with: .*arrow"):
            work()
    finally:
        hidden.rename(arrow)
    (row,) = RunFolder(tmp_path / "broken").read_rows("trials.parquet")
    assert row["status"] == "failed"
    assert "\n" not in row["error"]
    assert capfd.readouterr().out.count("trial 0000 failed and is tried once more: ") == 1


@pytest.mark.slow
def test_a_time_budget_ends_the_search_with_what_it_has(space: Path, tmp_path: Path, synthetic_root: Path) -> None:
    code, folder = search(
        space, tmp_path, synthetic_root, "budget", "--trials", "500", "--max-epochs", "50", "--time-budget", "4s"
    )
    rows = folder.read_rows("trials.parquet")
    assert code == cli.FAILED, "no trial can have trained 50 epochs in 4 s"
    assert 0 < len(rows) < 500
    assert "interrupted" in {row["status"] for row in rows}
    assert "running" not in {row["status"] for row in rows}
    best = folder.read_json("best.json")
    assert bool(best) == any(row["val_acc"] is not None for row in rows)  # on a busy machine no epoch may have ended
    assert best.get("chosen", "no trial finished").startswith("no trial finished")
