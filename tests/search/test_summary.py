"""What a search says of itself in the end: each status apart, and no saving that was none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.a_search import settings
from tune.intervals import wilson95
from tune.results import TRIALS, RunFolder
from tune.search import confirm, summary
from tune.settings import Settings
from tune.training.config import TrainConfig
from tune.training.sources import split_sizes

CONFIG = TrainConfig(model="simple_cnn", lr=0.1, batch_size=64, epochs=4)
ENDS = [("finished", 4), ("stopped", 1), ("diverged", 2), ("failed", 3), ("interrupted", 2), ("finished", 4)]


def rows(ends: list[tuple[str, int]]) -> list[dict[str, Any]]:
    config = {f"config.{name}": value for name, value in CONFIG.to_dict().items()}
    return [
        {
            **config,
            "trial_id": f"{n:04d}",
            "status": status,
            "origin": "search" if n else "reference",
            "epochs": epochs,
            "val_acc": None if status == "diverged" else 10.0 + n,
        }
        for n, (status, epochs) in enumerate(ends)
    ]


def told(
    tmp_path: Path,
    ends: list[tuple[str, int]],
    asked: Settings,
    best: dict[str, Any] | None = None,
    *,
    report: str | None = None,
    **about: Any,
) -> str:
    folder = RunFolder(tmp_path)
    folder.write_table("trials.parquet", rows(ends), TRIALS)
    folder.write_json("best.json", best or {})
    folder.write_json("experiment.json", about)
    out = io.StringIO()
    summary.show(folder, asked, Console(file=out, width=200), report)
    return out.getvalue()


def test_each_end_is_told_apart_and_only_stopping_saves(tmp_path: Path) -> None:
    text = told(tmp_path, ENDS, settings(trials=6), spent_s=123.4)
    assert "6 trials: 2 finished, 1 stopped, 1 diverged, 1 failed, 1 interrupted." in text
    assert "Cost: 16 epochs in 2 min; 5 of 21 saved by stopping poor trials early." in text  # 3 and 2 of two trials


def test_one_of_a_kind_is_told_as_one(tmp_path: Path) -> None:
    text = told(tmp_path, [("finished", 1)], settings(trials=1), repeats_refused=1)
    assert "1 trial: 1 finished; 1 repeated proposal redrawn.\n" in text
    assert "Cost: 1 epoch in " in text


def test_repeats_are_counted(tmp_path: Path) -> None:
    assert "; 7 repeated proposals redrawn." in told(tmp_path, ENDS, settings(), repeats_refused=7)
    assert "redrawn" not in told(tmp_path, ENDS, settings(), repeats_refused=0)


def test_a_space_that_is_used_up_is_told(tmp_path: Path) -> None:
    text = told(tmp_path, ENDS, settings(trials=9), used_up=True)
    assert "The space is used up before 9 trials: new proposals only repeated earlier trials." in text
    assert "used up" not in told(tmp_path, ENDS, settings(trials=9), used_up=False), "a budget or the user ended it"
    text = told(tmp_path, ENDS, settings(trials=9, warm_start="earlier"), used_up=True)
    assert "only repeated earlier trials or the warm start." in text


def best(**more: Any) -> dict[str, Any]:
    return {"trial_id": "0005", "origin": "search", "chosen": "the highest val_acc", "val_acc": 15.0} | more


def test_it_takes_ten_lines_and_ends_with_the_next_command(tmp_path: Path) -> None:
    lines = (
        told(tmp_path, ENDS, settings(wandb="offline"), best(), report="one/report.html", spent_s=60.0)
        .strip()
        .splitlines()
    )
    assert len(lines) <= 10
    assert lines[-1].startswith(f"Next: python -m tune.finalize {tmp_path.name} --storage {tmp_path.parent}")
    starts = ("6 trials", "Cost", "Best", "  with", "  chosen as", "Reference", "Results", "Report", "W&B", "Next")
    assert tuple(line.startswith(start) for line, start in zip(lines, starts, strict=True)) == (True,) * 10


def test_the_best_is_told_with_its_settings_and_what_sampling_does_to_it(tmp_path: Path) -> None:
    text = told(tmp_path, ENDS, settings(data="synthetic"), best())
    _, images = split_sizes("synthetic", 0.2, None)
    low, high = wilson95(15.0, images)
    assert 100 * (0.15 * 0.85 / images) ** 0.5 * 1.96 == pytest.approx((high - low) / 2, rel=0.01)
    assert low < 15.0 < high
    interval = f"(95 % interval {low:.1f} to {high:.1f} on {images:,} images)"
    assert f"Best: trial 0005 (search), 15.00 % {interval}\n" in text
    assert "  with lr 0.1, batch 64, constant, standard\n" in text


def test_of_a_search_for_robustness_both_accuracies_are_told(tmp_path: Path) -> None:
    text = told(tmp_path, ENDS, settings(data="synthetic", metric="val_robust_acc"), best(val_robust_acc=7.5))
    interval = "(95 % interval 6.5 to 8.6 on 2,400 images)"
    assert f"Best: trial 0005 (search), 7.50 % under corruption {interval}, 15.00 % on clean images\n" in text


def test_without_a_result_it_is_told_why(tmp_path: Path) -> None:
    told(tmp_path, [("stopped", 1), ("interrupted", 2)], settings())
    why, folder = "no trial finished (1 stopped, 1 interrupted)", RunFolder(tmp_path)
    assert summary.why_nothing(folder, settings()).startswith(f"{why}; see trials.parquet in ")
    longer = "; --resume with a larger --time-budget continues; see"
    assert summary.why_nothing(folder, settings(time_budget_s=4.0)).startswith(why + longer)
    told(tmp_path, ENDS, settings())
    assert summary.why_nothing(folder, settings()) == ""


def test_it_is_compared_with_the_reference_unless_it_is_that(tmp_path: Path) -> None:
    text = told(tmp_path, ENDS, settings(), best())
    assert "Reference: 10.00 % after 4 epochs, finished (lr 0.1, batch 64" in text
    assert "Reference" not in told(tmp_path, ENDS, settings(), best(trial_id="0000", origin="reference"))


def test_a_report_that_is_not_there_is_not_told_of(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()  # of an earlier command
    assert "report.html" not in told(tmp_path, ENDS, settings(), best())


def test_the_next_command_fits_what_lies_in_final(tmp_path: Path) -> None:
    def next_command() -> str:
        return told(tmp_path, ENDS, settings(), best()).strip().splitlines()[-1]

    final = RunFolder(tmp_path / "final")
    run = f"{tmp_path.name} --storage {tmp_path.parent}"
    final.path.mkdir()
    final.write_json("test_looks.json", {"looks": []})
    assert next_command() == f"Next: python -m tune.finalize {run}", "a count of looks is no model"
    (final.path / "checkpoint.pt").touch()
    assert next_command() == f"Next: python -m tune.finalize {run} --resume"
    (final.path / "checkpoint.pt").unlink()
    final.write_json("metrics.json", {"trial_id": "0000"})
    assert next_command() == f"Next: python -m tune.finalize {run} --overwrite"
    final.write_json("metrics.json", {"trial_id": "0005"})
    assert next_command() == f"Next: python -m tune.predict {run} IMAGE_OR_FOLDER"


def test_reruns_are_shown_beside_what_the_trial_was_picked_for(tmp_path: Path) -> None:
    items = [
        {"trial_id": f"000{n}", "mean": 14.25 - n, "seeds": seeds, "wall_s": 12.0, "first": 15.0}
        for n, seeds in ((5, 3), (4, 1), (3, 3), (2, 3))
    ]
    again = [{"trial_id": "0005", "status": "finished", "origin": "search", "epochs": 4, "seed": 1}] * 3
    RunFolder(tmp_path).write_table("confirm.parquet", again, confirm.RERUNS)
    text = told(tmp_path, ENDS, settings(confirm=4), best(val_acc=9.25, seeds=3, confirmed=items), spent_s=60.0)
    assert "Best: trial 0005 (search), 9.25 % (95 % interval 8." in text
    assert "Cost: 16 epochs in 60 s, then 12 in reruns; " in text
    assert "trial 0005: 9.25 % over 3 other seeds, 15.00 % in the search, 12 s each" in text
    assert "trial 0004: 10.25 % over 1 other seed, 15.00 % in" in text
    assert "trial 0002" not in text
    assert "and 1 more in confirm.parquet" in text
