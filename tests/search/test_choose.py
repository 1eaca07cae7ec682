"""Which configuration wins."""

from __future__ import annotations

from typing import Any

import pytest

from tune.search.choose import choose
from tune.training.config import TrainConfig

CONFIG = TrainConfig(model="simple_cnn", lr=0.05, batch_size=64, epochs=10)


def row(trial_id: str, status: str, epochs: int, val_acc: float | None, **values: Any) -> dict[str, Any]:
    figures = {"val_loss": 2.5, "train_acc": 33.0, "origin": "search"}
    config = {f"config.{name}": value for name, value in CONFIG.to_dict().items()}
    return {"trial_id": trial_id, "status": status, "epochs": epochs, "val_acc": val_acc} | figures | config | values


def test_the_best_of_those_that_finished_wins() -> None:
    best = choose([row("0000", "finished", 10, 40.0), row("0001", "finished", 10, 50.0)], "val_acc")
    assert best["trial_id"] == "0001"
    assert best["chosen"] == "the highest val_acc after the last epoch, among 2 finished trials"


def test_what_is_written_of_the_winner() -> None:
    winner = row("0001", "finished", 10, 50.0, origin="reference")
    assert choose([winner], "val_acc") == {
        "trial_id": "0001",
        "origin": "reference",
        "chosen": "the highest val_acc after the last epoch, among 1 finished trial",
        "val_acc": 50.0,
        "val_robust_acc": None,
        "val_loss": 2.5,
        "train_acc": 33.0,
        "epochs": 10,
        "config": CONFIG.to_dict(),
    }


def test_the_winners_configuration_is_its_own() -> None:
    rows = [row("0000", "finished", 10, 40.0), row("0001", "finished", 10, 50.0, **{"config.lr": 0.2})]
    assert TrainConfig.from_dict(choose(rows, "val_acc")["config"]).lr == 0.2


def test_the_last_epoch_counts_not_a_lucky_one_before() -> None:
    rows = [
        row("0000", "finished", 10, 40.0, best_val_acc=60.0, best_epoch=3),
        row("0001", "finished", 10, 45.0, best_val_acc=45.0, best_epoch=10),
    ]
    assert choose(rows, "val_acc")["trial_id"] == "0001"


@pytest.mark.parametrize("status", ["stopped", "interrupted", "running", "diverged", "failed"])
def test_a_finished_trial_beats_one_that_did_not_finish(status: str) -> None:
    rows = [row("0000", "finished", 10, 40.0), row("0001", status, 9, 90.0), row("0002", status, 99, 90.0)]
    best = choose(rows, "val_acc")
    assert best["trial_id"] == "0000"
    assert "1 finished" in best["chosen"]


@pytest.mark.parametrize("status", ["stopped", "interrupted", "running"])
def test_where_none_finished_the_furthest_wins_and_it_is_said(status: str) -> None:
    rows = [row("0000", status, 1, 90.0), row("0001", status, 6, 30.0), row("0002", status, 6, 35.0)]
    best = choose(rows, "val_acc")
    assert best["trial_id"] == "0002"
    assert best["epochs"] == 6
    assert "no trial finished" in best["chosen"]


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [row(f"{n:04d}", "finished", 10, float(n * 7 % 11)) for n in range(11)]
    assert choose(rows, "val_acc") == choose(rows[::-1], "val_acc")


def test_a_diverged_or_failed_trial_never_wins() -> None:
    rows = [
        row("0000", "diverged", 9, None),
        row("0001", "failed", 9, 80.0, error="RuntimeError: out of memory"),
        row("0002", "stopped", 1, 1.0),
    ]
    assert choose(rows, "val_acc")["trial_id"] == "0002"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("0000", "diverged", 3, None), row("0001", "diverged", 1, 0.0)],
        [row("0000", "failed", 3, 50.0)],
        [row("0000", "running", 0, None)],
        [row("0000", "finished", 3, None)],
        [{"trial_id": "0000", "status": "running", "epochs": 0}],  # as it stands before its first epoch
    ],
)
def test_without_a_result_there_is_no_winner(rows: list[dict[str, Any]]) -> None:
    assert choose(rows, "val_acc") == {}
