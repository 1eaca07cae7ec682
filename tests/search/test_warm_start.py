"""What of an earlier run serves a new search, and what the user is told of the rest."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray import tune

from tests.a_search import settings
from tune.results import TRIALS, RunFolder, create
from tune.search import warm_start
from tune.search.proposals import HeadStart, Known, score
from tune.search.warm_start import Taken
from tune.space import SearchSpace
from tune.training.config import TrainConfig

PARAMETERS: dict[str, Any] = {
    "lr": tune.loguniform(1e-3, 0.3),
    "batch_size": tune.choice([32, 64]),
    "momentum": 0.9,
    "schedule": tune.choice(
        [{"scheduler": "step", "gamma": tune.uniform(0.5, 0.9)}, {"scheduler": "cosine", "warmup": 0.1}]
    ),
}
COSINE = {"batch_size": 64, "scheduler": "cosine", "warmup": 0.1}
STEP = {"batch_size": 64, "scheduler": "step", "gamma": 0.8, "warmup": 0.0}
ASKED = settings(data="cifar100", max_epochs=4, seed=3, warm_start="one")


def space(**parameters: Any) -> SearchSpace:
    """That of PARAMETERS, with others in their place. Its points lie in all that are tested."""
    more = {"momentum": 0.9} | ({"dropout": 0.0} if "dropout" in parameters else {})
    return SearchSpace(
        model="simple_cnn",
        epochs=4,
        trials=4,
        parameters={name: value for name, value in (PARAMETERS | parameters).items() if value is not None},
        reference={"lr": 0.05} | more | COSINE,
        baselines=[{"lr": 0.06} | more | COSINE],
    )


def trial(number: int, val_acc: float | None, lr: float, status: str = "finished", **values: Any) -> dict[str, Any]:
    config = TrainConfig.from_dict({"model": "simple_cnn", "lr": lr, "epochs": 4, "seed": 3} | COSINE | values)
    about = {"trial_id": f"{number:04d}", "status": status, "origin": "search", "epochs": 4, "val_acc": val_acc}
    return about | {f"config.{name}": value for name, value in config.to_dict().items()}


FIVE = [
    trial(0, 20.0, 0.05),  # the reference
    trial(1, 30.0, 0.2),
    trial(2, 25.0, 0.01, **STEP),
    trial(3, 10.0, 0.002, status="stopped") | {"epochs": 2},
    trial(4, None, 0.3, status="diverged") | {"epochs": 1},
]


def leave(storage: Path, rows: list[dict[str, Any]], best: object = None, **others: Any) -> RunFolder:
    """An earlier run, as it lies on the disk."""
    folder = create(storage, "one")
    fingerprint = others.pop("fingerprint", "abc")
    asked = ASKED.to_dict() | {"warm_start": None} | others
    folder.write_json("experiment.json", {"settings": asked, "data_fingerprint": fingerprint})
    folder.write_table("trials.parquet", rows, TRIALS)
    folder.write_json("best.json", {} if best is None else {"trial_id": best})
    return folder


def take(folder: RunFolder, of: SearchSpace | None = None, **others: Any) -> Taken:
    """By the search ASKED, with `others`."""
    of = of or space()
    asked = dataclasses.replace(ASKED, **others)
    return warm_start.take(warm_start.read(folder, of.model), of, asked, "abc")


def ids(taken: Taken) -> list[str]:
    return [row["trial_id"] for row in taken.rows]


def first(taken: Taken) -> list[str]:
    return [row["trial_id"] for row in taken.rows if row["first"]]


# What is taken over.


def test_all_that_fits_is_known_and_the_best_of_it_runs_first(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE, best="0001"))
    assert taken.lines == [
        "Warm start: one, 5 of 5 trials are known from the start; its best, trial 0001, runs right after the reference"
    ]
    new = create(tmp_path, "new")
    warm_start.write(new, taken)
    head_start = warm_start.load(new, ASKED)
    configs = [TrainConfig.from_dict({n: row[f"config.{n}"] for n in TrainConfig.fields()}) for row in FIVE]
    scores = [score(4, 20.0, False), score(4, 30.0, False), score(4, 25.0, False), score(2, 10.0, False), -math.inf]
    assert head_start.known == tuple(map(Known, configs, scores))
    assert head_start.first == configs[1]


def test_what_is_kept_needs_the_earlier_run_no_more(tmp_path: Path) -> None:
    new = create(tmp_path, "new")
    assert warm_start.load(new, settings()) == HeadStart(), "a search without a warm start"
    with pytest.raises(ValueError, match=r"new holds no warm_start\.parquet"):
        warm_start.load(new, ASKED)
    warm_start.write(new, take(leave(tmp_path, FIVE)))
    rows = new.read_rows("warm_start.parquet")
    assert list(rows[0]) == [*TRIALS.names, "known", "first"]
    assert {name: rows[1][name] for name in FIVE[1]} == FIVE[1]


def test_without_a_warm_start_nothing_is_taken() -> None:
    assert warm_start.take(None, space(), settings(), "abc") == Taken()


def test_the_new_search_has_its_own_seed_and_horizon(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE), seed=8)
    assert ids(taken) == [row["trial_id"] for row in FIVE]
    assert {row["config.seed"] for row in taken.rows} == {8}
    # 10,000 images to validate on: sqrt(2 * 0.25 / 10,000)
    assert taken.lines[1] == (
        "  Its seed was 3, this search's is 8: another split of the same size, "
        "for which accuracies differ by up to 0.7 points (one standard deviation)"
    )
    (row,) = take(RunFolder(tmp_path / "one"), max_epochs=9).rows
    assert (row["config.epochs"], row["epochs"]) == (9, 4)


def test_random_search_is_told_to_learn_nothing(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE), search="random")
    assert taken.lines[1:] == ["  Random search learns nothing from them; it only does not try them again"]


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_trials_that_did_not_end_well_are_no_knowledge(status: str, tmp_path: Path) -> None:
    rows = [*FIVE, trial(5, 90.0, 0.1, status=status), trial(6, 90.0, 0.11, status=status), trial(7, None, 0.12)]
    taken = take(leave(tmp_path, rows, best="0005"))
    assert ids(taken) == [row["trial_id"] for row in FIVE]
    assert first(taken) == ["0001"], "the best of what is left"
    assert taken.lines[1:] == [f"  3 of 8 trials are no knowledge: {status} (2), without val_acc (1)"]


def test_the_one_that_the_run_chose_comes_before_the_highest(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE, best="0002"))  # as --confirm may choose
    assert first(taken) == ["0002"]


def test_where_the_chosen_one_does_not_fit_it_is_the_best_that_does(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE, best="0001"), space(lr=tune.loguniform(1e-3, 0.1)))
    assert first(taken) == ["0002"]
    for strange in (["0001"], 7, {}):
        folder = leave(tmp_path / str(strange), FIVE, best=strange)
        assert first(take(folder)) == ["0001"]


@pytest.mark.parametrize(("best", "origin"), [(0, "reference"), (1, "baseline")])
def test_a_best_that_runs_anyway_does_not_run_twice(best: int, origin: str, tmp_path: Path) -> None:
    rows = [trial(0, 20.0, 0.05), trial(1, 20.0, 0.06), trial(2, 19.0, 0.1)]
    taken = take(leave(tmp_path, rows, best=f"{best:04d}"), seed=8)
    assert (first(taken), taken.first) == ([], False)
    assert len(taken.rows) == 3
    assert taken.lines[0].endswith(f"; its best, trial {best:04d}, is this search's {origin} anyway")


def test_nothing_may_be_left(tmp_path: Path) -> None:
    taken = take(leave(tmp_path / "empty", []))
    assert (taken.rows, taken.lines) == ([], ["Warm start: one, of its 0 trials none serves this search"])
    taken = take(leave(tmp_path / "other", [trial(0, 20.0, 0.05, batch_size=32)]), space(batch_size=64), max_epochs=9)
    assert taken.rows == []
    assert taken.lines == [
        "Warm start: one, of its 1 trials none serves this search",
        "  1 of 1 trials do not fit: batch_size other than 64 (1)",
    ]


def test_diverged_trials_alone_have_no_best(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE[4:]))
    assert (ids(taken), first(taken)) == (["0004"], [])
    assert taken.lines == ["Warm start: one, 1 of 1 trials are known from the start"]


# What fits.


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


# What compares.


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"data": "synthetic"}, "It learnt from synthetic, this search from cifar100"),
        ({"fingerprint": "xyz"}, "Its cifar100 held other images"),
        ({"train_subset": 5000}, "It trained 5,000 images for 4 epochs, this search 40,000 for 4"),
        ({"train_subset": 5000, "max_epochs": 9}, "It trained 5,000 images for 9 epochs, this search 40,000 for 4"),
        (
            {"val_fraction": 0.1},
            "It trained 45,000 images for 4 epochs, this search 40,000 for 4; "
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
        f"  {why}: its accuracies do not compare, only its best trial is taken over",
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
        "  It trained 40,000 images for 4 epochs, this search 40,000 for 9: its accuracies do not compare",
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


# What can not be used.


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one searched resnet18, but this search is for simple_cnn; choose a run"):
        take(leave(tmp_path, FIVE, model="resnet18"))


def test_data_that_this_version_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one learnt from svhn, which this version does not know"):
        take(leave(tmp_path, FIVE, data="svhn"))


@pytest.mark.parametrize("name", ["experiment.json", "trials.parquet", "best.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"PAR1"])
def test_a_damaged_folder_is_told(name: str, content: bytes | None, tmp_path: Path) -> None:
    folder = leave(tmp_path, FIVE)
    (folder.path / name).unlink()
    if content is not None:
        (folder.path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        take(folder)


@pytest.mark.parametrize("field", ["model", "data", "train_subset", "val_fraction", "max_epochs", "metric", "seed"])
def test_settings_that_lack_what_is_needed_are_told(field: str, tmp_path: Path) -> None:
    folder = leave(tmp_path, FIVE)
    about = folder.read_json("experiment.json")
    for value in (None, [], {}):
        asked = {k: v for k, v in about["settings"].items() if k != field}
        if value is not None:
            asked[field] = value
        folder.write_json("experiment.json", about | {"settings": asked})
        with pytest.raises(ValueError, match=rf"experiment\.json does not tell {field}"):
            take(folder)
    folder.write_json("experiment.json", {})
    with pytest.raises(ValueError, match="does not tell model"):
        take(folder)


@pytest.mark.parametrize("column", ["trial_id", "status", "epochs"])
def test_trials_that_lack_what_is_needed_are_told(column: str, tmp_path: Path) -> None:
    folder = leave(tmp_path, [*FIVE, {k: v for k, v in FIVE[0].items() if k != column}])
    with pytest.raises(ValueError, match=rf"trials\.parquet does not tell the {column} of each trial"):
        take(folder)


def test_columns_of_another_kind_are_told(tmp_path: Path) -> None:
    folder = leave(tmp_path, FIVE)
    pq.write_table(pa.table({"trial_id": ["0000"], "epochs": ["four"]}), folder.path / "trials.parquet")
    with pytest.raises(ValueError, match=r"trials\.parquet is damaged, or was written by another version"):
        take(folder)


def test_a_run_of_another_version_serves_where_it_tells_enough(tmp_path: Path) -> None:
    """It asked for things that are gone, knew fewer fields, and had columns of its own."""
    folder = leave(tmp_path, FIVE)
    about = json.loads((folder.path / "experiment.json").read_text())
    about["settings"] = {k: v for k, v in about["settings"].items() if k != "confirm"} | {"retired": 1}
    folder.write_json("experiment.json", about)
    table = pq.read_table(folder.path / "trials.parquet").drop_columns(["config.mixup", "peak_memory_mb"])
    pq.write_table(table.append_column("mood", pa.array(["good"] * 5)), folder.path / "trials.parquet")
    taken = take(folder)
    assert len(taken.rows) == 5
    assert {row["config.mixup"] for row in taken.rows} == {0.0}


def test_a_field_of_a_configuration_that_is_not_known_here_is_refused(tmp_path: Path) -> None:
    folder = leave(tmp_path, FIVE)
    table = pq.read_table(folder.path / "trials.parquet")
    pq.write_table(table.append_column("config.depth", pa.array([5] * 5)), folder.path / "trials.parquet")
    with pytest.raises(ValueError, match=r"this one does not know config\.depth"):
        take(folder)
