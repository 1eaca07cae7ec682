"""--confirm: which trials are run again, what a tie is, and which of those that tie is taken."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from tests.a_search import settings
from tune.results import TRIALS, RunFolder
from tune.search import confirm
from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="simple_cnn", lr=0.1, batch_size=64, epochs=4, seed=7)


def trial(number: int, val_acc: float | None, status: str = "finished") -> dict[str, Any]:
    config = dataclasses.replace(CONFIG, lr=0.01 * (number + 1))
    row = {"trial_id": f"{number:04d}", "status": status, "origin": "search", "epochs": 4, "val_acc": val_acc}
    row |= {"val_loss": 1.0, "train_acc": 50.0}
    return row | {f"config.{name}": value for name, value in config.to_dict().items()}


def again(number: int, values: list[float], wall_s: float = 10.0, status: str = "finished") -> list[dict[str, Any]]:
    return [
        {"trial_id": f"{number:04d}", "seed": seed, "status": status, "val_acc": value, "wall_s": wall_s}
        for seed, value in enumerate(values, start=8)
    ]


def chosen(*groups: list[dict[str, Any]]) -> dict[str, Any]:
    trials = {f"{n:04d}": trial(n, 30.0 + n) for n in range(len(groups))}
    return confirm.choose(trials, [row for group in groups for row in group], "val_acc")


def test_the_best_whole_trials_are_run_again() -> None:
    rows = [trial(0, 30.0), trial(1, 45.0, "stopped"), trial(2, 32.0), trial(3, None, "diverged"), trial(4, 31.0)]
    assert [row["trial_id"] for row in confirm.candidates(rows, "val_acc", 2)] == ["0002", "0004"]
    assert len(confirm.candidates(rows, "val_acc", 9)) == 3


def test_reruns_that_have_ended_are_not_run_a_third_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    asked = settings(confirm=2, seeds=3, seed=7)
    folder.write_table("trials.parquet", [trial(0, 30.0), trial(1, 31.0), trial(2, 29.0)], TRIALS)
    planned = [(row["trial_id"], seed) for row, seed in confirm.todo(folder, asked)]
    assert planned == [("0001", 8), ("0000", 8), ("0001", 9), ("0000", 9), ("0001", 10), ("0000", 10)]
    rows = again(1, [30.0, 30.5]) + again(0, [29.0], status="interrupted")
    folder.write_table("confirm.parquet", rows, confirm.RERUNS)
    left = [(row["trial_id"], seed) for row, seed in confirm.todo(folder, asked)]
    assert left == [("0000", 8), ("0000", 9), ("0001", 10), ("0000", 10)]


def test_the_choice_waits_until_every_rerun_has_ended(tmp_path: Path) -> None:
    """With half of the seeds nearly everything ties, and the cheapest would be taken."""
    folder = RunFolder(tmp_path)
    asked = settings(confirm=2, seeds=2, seed=7)
    folder.write_table("trials.parquet", [trial(0, 30.0), trial(1, 31.0)], TRIALS)
    folder.write_json("best.json", {"trial_id": "0001"})
    rows = again(0, [30.0, 30.1]) + again(1, [25.0, 25.1])
    for known in (rows[:3], [*rows[:3], rows[3] | {"status": "interrupted"}]):
        folder.write_table("confirm.parquet", known, confirm.RERUNS)
        confirm.decide(folder, asked)
        assert folder.read_json("best.json") == {"trial_id": "0001"}
    folder.write_table("confirm.parquet", rows, confirm.RERUNS)
    confirm.decide(folder, asked)
    assert folder.read_json("best.json")["trial_id"] == "0000"
    folder.write_json("best.json", {"trial_id": "0001"})
    confirm.decide(folder, settings())
    assert folder.read_json("best.json") == {"trial_id": "0001"}, "nothing was to be confirmed"


def test_a_rerun_is_the_trial_on_another_seed() -> None:
    searcher = confirm.Reruns([(trial(3, 30.0), 8)], "val_acc")
    assert searcher.suggest("ray") == {
        **dataclasses.replace(CONFIG, lr=0.04, seed=8).to_dict(), "trial_id": "0003-seed8", "origin": "search",
    }  # fmt: skip
    searcher.on_trial_complete("ray", error=True)
    again = searcher.suggest("once more")
    assert isinstance(again, dict)
    assert again["trial_id"] == "0003-seed8"
    searcher.on_trial_complete("once more", {"epoch": 3})
    assert searcher.suggest("ray") == Searcher.FINISHED


def test_a_clear_difference_decides() -> None:
    best = chosen(again(0, [30.0, 30.2, 29.8]), again(1, [28.0, 28.2, 27.8], wall_s=1.0))
    assert (best["trial_id"], best["tied_with"]) == ("0000", [])
    assert best["val_acc"] == pytest.approx(30.0), "the mean of the reruns, not what the trial was picked for"
    assert best["deviation"] == pytest.approx(0.2)
    assert best["config"]["lr"] == 0.01
    assert [item["trial_id"] for item in best["confirmed"]] == ["0000", "0001"]


@pytest.mark.parametrize(
    ("seconds", "winner", "words"),
    [
        ((10.0, 5.0), "0001", "the cheapest of 2 trials that tie"),
        ((10.0, 9.8), "0000", "1 of the 2 best trials ties with it"),  # times are noisy too
        ((5.0, 10.0), "0000", "1 of the 2 best trials ties with it"),
    ],
)
def test_of_a_tie_the_cheaper_is_taken(seconds: tuple[float, float], winner: str, words: str) -> None:
    best = chosen(again(0, [30.0, 31.0, 29.0], seconds[0]), again(1, [29.9, 30.8, 28.9], seconds[1]))
    assert best["trial_id"] == winner
    assert len(best["tied_with"]) == 1
    assert words in best["chosen"]


def test_what_is_no_tie_is_not_taken_however_cheap() -> None:
    best = chosen(again(0, [30.0, 30.1]), again(1, [29.9, 30.0], wall_s=8.0), again(2, [20.0, 20.1], wall_s=1.0))
    assert best["trial_id"] == "0001"
    assert best["tied_with"] == ["0000"]


def test_a_configuration_that_diverges_on_one_seed_is_left_out() -> None:
    shaky = [*again(1, [40.0, 41.0]), {"trial_id": "0001", "seed": 10, "status": "diverged", "wall_s": 1.0}]
    best = chosen(again(0, [30.0, 31.0, 30.0]), shaky)
    assert best["trial_id"] == "0000"
    assert [item["trial_id"] for item in best["confirmed"]] == ["0000"]
    assert best["chosen"].endswith("; excluded, having diverged on another seed: 0001")


def test_without_a_result_nothing_is_chosen() -> None:
    assert chosen(again(0, [30.0], status="failed"), again(1, [30.0], status="interrupted")) == {}


def test_a_single_rerun_each_cannot_tell_anything_apart() -> None:
    best = chosen(again(0, [40.0]), again(1, [20.0], wall_s=1.0))
    assert best["tied_with"] == ["0000"]
    assert math.isnan(best["deviation"])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_equal_configurations_are_told_apart_in_one_of_twenty_cases(count: int) -> None:
    """That is what the level promises, however many are compared; Student's t would cry wolf in a quarter of five."""
    draw = random.Random(0)
    wrong = 0
    for _ in range(400):
        best = chosen(*(again(n, [draw.gauss(30, 0.5) for _ in range(3)]) for n in range(count)))
        wrong += len(best["tied_with"]) < count - 1
    assert 0.025 < wrong / 400 < 0.08


def test_if_all_diverge_on_other_seeds_the_choice_stands_and_best_json_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_table("trials.parquet", [trial(0, 30.0)], TRIALS)
    folder.write_json("best.json", {"trial_id": "0000", "chosen": "the highest"})
    folder.write_table(
        "confirm.parquet", again(0, [30.0]) + again(0, [1.0, 1.0], status="diverged")[1:], confirm.RERUNS
    )
    confirm.decide(folder, settings(confirm=1, seeds=2, seed=7))
    best = folder.read_json("best.json")
    assert best["trial_id"] == "0000"
    assert "none of the best trials finished on all other seeds" in best["chosen"]


def test_the_journal_of_the_reruns(tmp_path: Path) -> None:
    journal = confirm.RerunJournal(RunFolder(tmp_path))
    journal.trial_started("0003-seed8", "search", dataclasses.replace(CONFIG, seed=8))
    common = {"train_loss": 1.0, "train_acc": 40.0, "val_loss": 2.0, "lr": 0.1, "trained_s": 3.0}
    for epoch in (1, 2):
        journal.epoch_ended("0003-seed8", common | {"epoch": epoch, "val_acc": 10.0 * epoch})
    journal.trial_ended("0003-seed8", "finished", None)
    (row,) = confirm.reruns(RunFolder(tmp_path))
    assert (row["trial_id"], row["seed"], row["status"], row["epochs"]) == ("0003", 8, "finished", 2)
    assert (row["val_acc"], row["wall_s"]) == (20.0, 3.0)
    journal.trial_started("0004-seed8", "search", dataclasses.replace(CONFIG, seed=8))
    journal.epoch_ended("0004-seed8", common | {"epoch": 1, "val_acc": None})
    journal.trial_ended("0004-seed8", "diverged", None)
    assert [r["val_acc"] for r in confirm.reruns(RunFolder(tmp_path))] == [20.0, None]
    assert len(confirm.RerunJournal(RunFolder(tmp_path)).rows) == 2, "a later part of the search knows them"
