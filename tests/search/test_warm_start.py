"""What of an earlier run a new search starts with, and which runs it cannot start from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray import tune

from tests.a_search import settings
from tests.search.an_earlier_run import ASKED, FIVE, first, ids, leave, space, take, trial
from tune.results import TRIALS, RunFolder, create
from tune.search import warm_start
from tune.search.proposals import HeadStart, Known, score
from tune.search.warm_start import Taken
from tune.training.config import TrainConfig


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
        "on which accuracies differ by up to 0.7 points (standard deviation)"
    )
    (row,) = take(RunFolder(tmp_path / "one"), max_epochs=9).rows
    assert (row["config.epochs"], row["epochs"]) == (9, 4)


def test_random_search_is_told_to_learn_nothing(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE), search="random")
    assert taken.lines[1:] == ["  Random search does not learn from them; it only avoids repeating them"]


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_trials_that_did_not_end_well_are_no_knowledge(status: str, tmp_path: Path) -> None:
    rows = [*FIVE, trial(5, 90.0, 0.1, status=status), trial(6, 90.0, 0.11, status=status), trial(7, None, 0.12)]
    taken = take(leave(tmp_path, rows, best="0005"))
    assert ids(taken) == [row["trial_id"] for row in FIVE]
    assert first(taken) == ["0001"], "the best of what is left"
    assert taken.lines[1:] == [f"  3 of 8 trials have no usable result: {status} (2), without val_acc (1)"]


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
    assert (taken.rows, taken.lines) == ([], ["Warm start: one, none of its 0 trials is of use"])
    taken = take(leave(tmp_path / "other", [trial(0, 20.0, 0.05, batch_size=32)]), space(batch_size=64), max_epochs=9)
    assert taken.rows == []
    assert taken.lines == [
        "Warm start: one, none of its 1 trials is of use",
        "  1 of 1 trials do not fit: batch_size other than 64 (1)",
    ]


def test_diverged_trials_alone_have_no_best(tmp_path: Path) -> None:
    taken = take(leave(tmp_path, FIVE[4:]))
    assert (ids(taken), first(taken)) == (["0004"], [])
    assert taken.lines == ["Warm start: one, 1 of 1 trials are known from the start"]


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one is a search of resnet18, but this one is of simple_cnn; choose a run"):
        take(leave(tmp_path, FIVE, model="resnet18"))


def test_data_that_this_version_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one was trained on svhn, which this version does not know"):
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
        with pytest.raises(ValueError, match=rf"experiment\.json does not hold {field}"):
            take(folder)
    folder.write_json("experiment.json", {})
    with pytest.raises(ValueError, match="does not hold model"):
        take(folder)


@pytest.mark.parametrize("column", ["trial_id", "status", "epochs"])
def test_trials_that_lack_what_is_needed_are_told(column: str, tmp_path: Path) -> None:
    folder = leave(tmp_path, [*FIVE, {k: v for k, v in FIVE[0].items() if k != column}])
    with pytest.raises(ValueError, match=rf"trials\.parquet lacks the {column} of some trials"):
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
