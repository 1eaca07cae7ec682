"""What the report says first, and which command it gives, whatever state the run is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reporting import a_run
from tests.reporting.test_page import read
from tune.results import RunFolder
from tune.search.confirm import RERUNS


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Eight trials that a test may change; the last of them is the best, the first one, the reference, the second."""
    folder = a_run.searched(tmp_path / "run", trials=8, horizon=4)
    rows = folder.read_rows("trials.parquet")
    for row, accuracy in ((rows[0], 50.0), (rows[-1], 60.0)):
        row |= {"status": "finished", "epochs": 4, "val_acc": accuracy, "best_val_acc": accuracy, "best_epoch": 4}
    a_run.write_trials(folder, rows)
    return folder


def rewrite(folder: RunFolder, name: str, **values: Any) -> None:
    folder.write_json(name, folder.read_json(name) | values)


def test_the_model_of_another_trial_is_told_apart(run: RunFolder) -> None:
    a_run.finalize(run, 1000, ood=False)
    text = read(run).text
    assert "Test accuracy of trial 0000's final model" in text
    assert "The final model was trained from trial 0000, not from the trial chosen here." in text
    assert f"python -m tune.finalize {run.path} --overwrite" in text
    rewrite(run, "final/metrics.json", trial_id="0007")
    text = read(run).text
    assert "not from the trial chosen here" not in text
    assert f"python -m tune.finalize {run.path} --overwrite" not in text
    assert f"python -m tune.predict {run.path} IMAGE_OR_FOLDER" in text


@pytest.mark.parametrize(
    ("opened", "words"), [(1, "1,000 images; test set opened once;"), (3, "images; test set opened 3 times;")]
)
def test_how_often_the_test_images_were_opened_is_what_was_counted(run: RunFolder, opened: int, words: str) -> None:
    a_run.finalize(run, 1000, ood=False)
    assert "opened" not in read(run).text, "an older run did not count"
    rewrite(run, "final/metrics.json", test_opened=opened)
    assert words in read(run).text


def test_an_interrupted_search_says_so(run: RunFolder) -> None:
    rows = run.read_rows("trials.parquet")
    assert "has not finished" not in read(run).text
    rows[3]["status"] = "interrupted"
    a_run.write_trials(run, rows)
    text = read(run).text
    assert "This search has not finished: 7 of 8 trials have ended." in text
    assert "search, interrupted" in text
    assert f"python -m tune.run --resume {run.path}" in text
    rewrite(run, "experiment.json", used_up=True)
    assert "--resume" not in read(run).text


def test_a_training_that_was_cut_off_goes_on(run: RunFolder) -> None:
    run.final.mkdir()
    (run.final / "checkpoint.pt").touch()
    assert f"python -m tune.finalize {run.path} --resume" in read(run).text


def test_like_is_compared_with_like_after_reruns(run: RunFolder) -> None:
    again = [{"trial_id": "0007", "status": "finished", "origin": "search", "epochs": 4, "seed": seed, "val_acc": 52.0,
              "wall_s": 90.0} for seed in (43, 44)]  # fmt: skip
    run.write_table("confirm.parquet", again, RERUNS)
    best = {"trial_id": "0007", "mean": 52.0, "seeds": 2, "first": 60.0, "wall_s": 90.0}
    rewrite(run, "best.json", val_acc=52.0, seeds=2, confirmed=[best])
    text = read(run).text
    assert "In the search it scored 10.00 points above the reference." in text
    assert "then 2 reruns, 3 min of training" in text
    reference = best | {"trial_id": "0000", "mean": 49.0, "first": 50.0}
    rewrite(run, "best.json", confirmed=[best, reference])
    assert "On other seeds it scored 3.00 points above the reference." in read(run).text


def test_what_unfinished_trials_lack_is_not_saved(run: RunFolder) -> None:
    rows = [row | {"status": "finished", "epochs": 4} for row in run.read_rows("trials.parquet")]
    rows[1] |= {"status": "interrupted", "epochs": 1}
    rows[2] |= {"status": "stopped", "epochs": 1}
    rows[3] |= {"status": "diverged", "epochs": 1, "val_acc": None}
    a_run.write_trials(run, rows)
    run.write_json("rungs.json", {"rungs": {"1": {row["trial_id"]: row["val_acc"] for row in rows}}})
    text = read(run).text
    assert "23 of 29 epochs were trained (79 %)" in text
    assert "Stopping poor trials early saved 6." in text
    assert "after 1 epoch 8 5 62 % 1 " in text
