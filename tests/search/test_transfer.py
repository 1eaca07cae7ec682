"""Which trials of an earlier run lie in the space of a new search, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray import tune

from tests.search.an_earlier_run import FIVE, ids, leave, space, take, trial


def test_a_wider_space_holds_all(tmp_path: Path) -> None:
    wider = space(
        lr=tune.loguniform(1e-5, 1.0),
        dropout=tune.uniform(0.0, 0.5),
        schedule=tune.choice(
            [
                {"scheduler": "constant"},
                {"scheduler": "step", "gamma": tune.uniform(0.1, 1.0)},
                {"scheduler": "cosine", "warmup": tune.choice([0.0, 0.1])},
            ]
        ),
    )
    assert len(take(leave(tmp_path, FIVE), wider).rows) == 5


@pytest.mark.parametrize(
    ("parameters", "left", "reasons"),
    [
        ({"lr": tune.loguniform(0.02, 0.25)}, ["0000", "0001"], "lr outside log-uniform 0.02 to 0.25 (3)"),
        (
            {"schedule": tune.choice([{"scheduler": "cosine", "warmup": 0.1}, {"scheduler": "constant"}])},
            ["0000", "0001", "0003", "0004"],
            "no branch of schedule for scheduler step (1)",
        ),
        (
            {"schedule": tune.choice([{"scheduler": "cosine", "warmup": 0.1},
                                      {"scheduler": "step", "gamma": tune.uniform(0.5, 0.7)}])},
            ["0000", "0001", "0003", "0004"],
            "gamma outside uniform 0.5 to 0.7 (1)",
        ),
        (
            {"schedule": None, "scheduler": "cosine", "warmup": 0.1},
            ["0000", "0001", "0003", "0004"],
            "scheduler other than cosine (1)",
        ),
        (
            {"schedule": None, "rate": tune.choice([{"scheduler": "cosine", "warmup": 0.1}, {"gamma": 0.7}])},
            ["0000", "0001", "0003", "0004"],
            "no branch of rate (1)",
        ),
        ({"lr": tune.choice([0.05, 0.06, 0.2])}, ["0000", "0001"], "lr outside 0.05, 0.06, 0.2 (3)"),
    ],
)  # fmt: skip
def test_a_narrower_space_names_what_is_outside(
    parameters: dict[str, Any], left: list[str], reasons: str, tmp_path: Path
) -> None:
    taken = take(leave(tmp_path, FIVE), space(**parameters))
    assert ids(taken) == left
    assert taken.lines[1:] == [f"  {5 - len(left)} of 5 trials do not fit: {reasons}"]


def test_a_field_that_the_space_does_not_name_must_be_at_its_default(tmp_path: Path) -> None:
    rows = [trial(0, 20.0, 0.05), trial(1, 30.0, 0.1, dropout=0.3), trial(2, 30.0, 0.1, gamma=0.5)]
    taken = take(leave(tmp_path, rows))
    assert ids(taken) == ["0000"]
    assert taken.lines[1] == "  2 of 3 trials do not fit: dropout other than 0.0 (1), gamma other than 0.9 (1)"


def test_the_commonest_reasons_are_told_and_the_others_counted(tmp_path: Path) -> None:
    odd = [{"dropout": 0.1}, {"mixup": 0.1}, {"cutmix": 0.1}, {"dropout": 0.2}, {"nesterov": True}, {"batch_size": 8}]
    taken = take(leave(tmp_path, [trial(number, 20.0, 0.1, **values) for number, values in enumerate(odd)]))
    assert taken.lines[1] == (
        "  6 of 6 trials do not fit: "
        "dropout other than 0.0 (2), mixup other than 0.0 (1), cutmix other than 0.0 (1), other reasons (2)"
    )


def test_values_that_no_trial_takes_any_more_do_not_fit(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, [trial(0, 20.0, 0.05), trial(1, 30.0, 0.1) | {"config.lr": 1000.0}]))
    assert ids(taken) == ["0000"]
    assert taken.lines[1].startswith("  1 of 2 trials do not fit: lr is 1000.0; it must lie between")
