"""What a search says of itself in the end: each status apart, and no saving that was none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.a_search import settings
from tune.results import TRIALS, RunFolder
from tune.search import summary
from tune.settings import Settings
from tune.training.config import TrainConfig

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
    tmp_path: Path, ends: list[tuple[str, int]], asked: Settings, best: dict[str, Any] | None = None, **about: Any
) -> str:
    folder = RunFolder(tmp_path)
    folder.write_table("trials.parquet", rows(ends), TRIALS)
    folder.write_json("best.json", best or {})
    folder.write_json("experiment.json", about)
    out = io.StringIO()
    summary.show(folder, asked, Console(file=out, width=200))
    return out.getvalue()


def test_each_end_is_told_apart_and_only_stopping_saves(tmp_path: Path) -> None:
    text = told(tmp_path, ENDS, settings(trials=6))
    assert "6 trials: 2 finished, 1 stopped, 1 diverged, 1 failed, 1 interrupted." in text
    assert "16 epochs trained; stopping the poor trials early saved 5." in text  # 3 of the stopped, 2 of the diverged


def test_one_of_a_kind_is_told_as_one(tmp_path: Path) -> None:
    text = told(tmp_path, [("finished", 1)], settings(trials=1), repeats_refused=1)
    assert "1 trial: 1 finished." in text
    assert "1 epoch trained; " in text
    assert "1 proposal repeated an earlier configuration and was drawn anew." in text


def test_repeats_are_counted(tmp_path: Path) -> None:
    assert "7 proposals repeated an earlier configuration" in told(tmp_path, ENDS, settings(), repeats_refused=7)
    assert "repeated" not in told(tmp_path, ENDS, settings(), repeats_refused=0)


def test_a_space_that_is_used_up_is_told(tmp_path: Path) -> None:
    text = told(tmp_path, ENDS, settings(trials=9), used_up=True)
    assert "The space is used up, short of 9 trials: new proposals only repeated the trials." in text
    assert "used up" not in told(tmp_path, ENDS, settings(trials=9), used_up=False), "a budget or the user ended it"
    text = told(tmp_path, ENDS, settings(trials=9, warm_start="earlier"), used_up=True)
    assert "only repeated the trials or the warm start." in text


def test_reruns_are_shown_beside_what_the_trial_was_picked_for(tmp_path: Path) -> None:
    item = {"trial_id": "0005", "mean": 14.25, "seeds": 3, "wall_s": 12.0, "first": 15.0}
    best = {
        "trial_id": "0005",
        "origin": "search",
        "chosen": "the highest mean",
        "confirmed": [item],
        "deviation": None,
    }
    text = told(tmp_path, ENDS, settings(), best)
    assert "trial 0005: 14.25 % over 3 other seeds, 15.00 % in the search, 12 s each" in text
    assert f"Next: python -m tune.finalize {tmp_path.name}" in text
