"""The options of a search that goes on, which of them may differ, and a folder that it cannot go on in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.a_search import settings
from tests.search.a_killed_search import killed
from tune import run
from tune.results import TRIALS, RunFolder
from tune.search import resume
from tune.storage import Storage


def test_only_what_stands_on_the_command_line_was_given() -> None:
    everything, given = resume.given_options(run.parser(), ["--resume", "one", "--seed", "42"])
    assert given == {"resume": "one", "seed": 42}
    assert everything.trials is None
    assert everything.scheduler == "asha"


def test_the_settings_take_the_place_of_what_is_not_given(tmp_path: Path) -> None:
    before = settings(seed=5, time_budget_s=60.0, seeds=4)
    _, given = resume.given_options(run.parser(), ["--resume", "one", "--trials", "9"])
    options = resume.merged(given, RunFolder(tmp_path / "moved" / "one"), before)
    everything = vars(run.parser().parse_args([]))
    assert everything.keys() - vars(options).keys() == {"dry_run", "then_finalize"}, "which are asked for anew"
    assert (options.trials, options.seed, options.time_budget, options.seeds) == (9, 5, 60.0, 4)
    assert (options.name, options.storage) == ("one", Storage(tmp_path / "moved"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 5}, "--seed is 5, but the search was started with 3; omit it"),
        ({"max_epochs": 9}, "--max-epochs is 9"),
        ({"seeds": 5}, "--seeds is 5"),
        ({"scheduler": "none"}, "--scheduler is none"),
        ({"train_subset": 500}, "--train-subset is 500, but the search was started with None"),
        ({"trials": 1}, "--trials is 1, but the search was started with 2; it can only be raised"),
        ({"time_budget_s": 30.0}, "--time-budget is 30.0, but the search was started with 60.0; it can only be raised"),
        ({"space_sha256": "1"}, "space.py is not what the search started with"),
    ],
)
def test_options_must_agree(changes: dict[str, Any], words: str) -> None:
    before = settings(time_budget_s=60.0)
    with pytest.raises(ValueError, match=words):
        resume.check_agrees(before, settings(**({"time_budget_s": 60.0} | changes)))


@pytest.mark.parametrize("given", ["earlier", "{storage}/earlier"])
def test_the_run_of_a_warm_start_may_be_gone_and_is_named_as_before(given: str, tmp_path: Path) -> None:
    before = settings(warm_start=str(tmp_path / "earlier"))
    run_folder = RunFolder(tmp_path / "one")
    assert resume.merged({}, run_folder, before).warm_start == before.warm_start
    options = resume.merged({"warm_start": given.format(storage=tmp_path)}, run_folder, before)
    assert options.warm_start == before.warm_start


def test_another_warm_start_does_not_agree(tmp_path: Path) -> None:
    before = settings(warm_start=str(tmp_path / "earlier"))
    options = resume.merged({"warm_start": "other"}, RunFolder(tmp_path / "one"), before)
    with pytest.raises(ValueError, match=r"--warm-start is other, but the search was started with .*/earlier; omit it"):
        resume.check_agrees(before, settings(warm_start=options.warm_start))


def test_a_search_can_grow_and_move() -> None:
    before = settings(time_budget_s=60.0)
    resume.check_agrees(before, before)
    resume.check_agrees(before, settings(time_budget_s=90.0, trials=5, data_dir="elsewhere", wandb="offline"))


def test_a_budget_cannot_be_set_where_there_was_none() -> None:
    with pytest.raises(ValueError, match="started with no time budget"):
        resume.check_agrees(settings(), settings(time_budget_s=90.0))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return killed(tmp_path)


@pytest.mark.parametrize("name", ["trials.parquet", "epochs.parquet"])
def test_tables_of_another_version_are_told(folder: RunFolder, name: str) -> None:
    resume.check_folder(folder)
    pq.write_table(pa.table({"a": [1]}), folder.path / name)
    with pytest.raises(ValueError, match=f"{name} was written by another version .* no column trial_id"):
        resume.check_folder(folder)


def test_trials_from_before_a_field_was_there_go_on(folder: RunFolder) -> None:
    table = pq.read_table(folder.path / "trials.parquet")
    pq.write_table(table.drop_columns(["config.ema", "config.initial_scale"]), folder.path / "trials.parquet")
    resume.check_folder(folder)


@pytest.mark.parametrize("change", [{"trial_id": "best"}, {"config.lr": None}, {"status": None}, {"epochs": None}])
def test_a_row_that_is_no_trial_is_told(folder: RunFolder, change: dict[str, Any]) -> None:
    rows = folder.read_rows("trials.parquet")
    folder.write_table("trials.parquet", [rows[0] | change, *rows[1:]], TRIALS)
    with pytest.raises(ValueError, match=r"trials\.parquet is damaged"):
        resume.check_folder(folder)


def test_a_folder_of_someone_else_is_told(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "obstacle", lambda path: "Permission denied")
    with pytest.raises(ValueError, match=r"cannot be written to \(Permission denied\)"):
        resume.check_folder(folder)
