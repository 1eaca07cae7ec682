"""The options of a search that goes on, and which of them may differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.a_search import settings
from tune import run
from tune.results import RunFolder
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
