"""When accuracies of an earlier run compare with those of a new search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.search.an_earlier_run import ASKED, FIVE, first, ids, leave, take, trial
from tune.results import create
from tune.search import warm_start


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"data": "synthetic"}, "It was trained on synthetic, this search uses cifar100"),
        ({"fingerprint": "xyz"}, "Its cifar100 had other images"),
        ({"train_subset": 5000}, "It was trained on 5,000 images for 4 epochs, this search on 40,000 for 4"),
        (
            {"train_subset": 5000, "max_epochs": 9},
            "It was trained on 5,000 images for 9 epochs, this search on 40,000 for 4",
        ),
        (
            {"val_fraction": 0.1},
            "It was trained on 45,000 images for 4 epochs, this search on 40,000 for 4; "
            "it validated on 5,000 images, this search on 10,000",
        ),
        (
            {"val_fraction": 0.1, "train_subset": 40_000},
            "It validated on 5,000 images, this search on 10,000",
        ),
    ],
)
def test_where_accuracies_do_not_compare_only_the_best_is_taken(
    others: dict[str, Any], why: str, tmp_path: Path
) -> None:
    taken = take(leave(tmp_path, [*FIVE, trial(5, 99.0, 0.9)], **others))
    assert (ids(taken), first(taken)) == (["0001"], ["0001"])
    assert not any(row["known"] for row in taken.rows)
    assert taken.lines == [
        "Warm start: one, its best, trial 0001, runs right after the reference",
        f"  {why}: its accuracies are not comparable, so only its best trial is taken over",
        "  1 of 6 trials do not fit: lr outside log-uniform 0.001 to 0.3 (1)",
    ]
    new = create(tmp_path, "new")
    warm_start.write(new, taken)
    head_start = warm_start.load(new, ASKED)
    assert head_start.known == ()
    assert head_start.first is not None


def test_a_best_that_runs_anyway_is_not_taken_over(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE[:1]), max_epochs=9)
    assert taken.rows == []
    assert taken.lines == [
        "Warm start: one, its best, trial 0000, is this search's reference anyway",
        "  It was trained on 40,000 images for 4 epochs, this search on 40,000 for 9: "
        "its accuracies are not comparable",
    ]


def test_another_metric_does_not_compare(tmp_path: Path) -> None:
    rows = [row | {"val_robust_acc": acc} for row, acc in zip(FIVE, [1.0, 2.0, 3.0, None, None], strict=True)]
    taken = take(leave(tmp_path, rows, metric="val_robust_acc"))
    assert first(taken) == ["0002"]
    assert "It maximised val_robust_acc, this search val_acc: its" in taken.lines[1]


@pytest.mark.parametrize(
    "others", [{"train_subset": 40_000}, {"fingerprint": None}, {"trials": 99, "search": "optuna"}]
)
def test_what_comes_to_the_same_compares(others: dict[str, Any], tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE, **others))
    assert len(taken.rows) == 5
    assert all(row["known"] for row in taken.rows)
