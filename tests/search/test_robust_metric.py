"""--metric val_robust_acc, which is measured at rungs and in the end: who decides by it, and what is written of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from tests.a_search import settings
from tests.search.proposing import tiny
from tests.search.test_dry_run import told
from tests.search.test_journal import CONFIG, metrics
from tests.search.test_search import SMALL, SPACE, search
from tests.small_data import small
from tune import cli
from tune.results import TRIALS, RunFolder, create
from tune.search import confirm, resume
from tune.search.asha import Asha, AshaScheduler
from tune.search.choose import choose
from tune.search.history import History
from tune.search.journal import Journal
from tune.search.proposals import ProposalSearcher, Proposer, score

METRIC = "val_robust_acc"


def trial(number: int, clean: float, robust: float | None, status: str = "finished") -> dict[str, Any]:
    about = {"trial_id": f"{number:04d}", "status": status, "origin": "search", "epochs": 3}
    figures = {"val_acc": clean, METRIC: robust, "val_loss": 2.0, "train_acc": 30.0}
    return about | figures | {f"config.{name}": value for name, value in CONFIG.to_dict().items()}


def again(number: int, clean: float, robust: float) -> list[dict[str, Any]]:
    """Its reruns."""
    about = {"trial_id": f"{number:04d}", "status": "finished", "origin": "search", "epochs": 3, "wall_s": 9.0}
    return [about | {"seed": s, "val_acc": clean + s / 10, METRIC: robust + s / 10} for s in (1, 2, 3)]


def test_asha_is_asked_where_it_was_measured_and_nowhere_else() -> None:
    scheduler = AshaScheduler(Asha(4, 1))
    assert scheduler.set_search_properties(METRIC, "max")

    def answer(trial_id: str, epoch: int, robust: float | None) -> str:
        ray_trial: Any = SimpleNamespace(config={"trial_id": trial_id, "origin": "search"})
        return scheduler.on_trial_result(None, ray_trial, {"epoch": epoch, "val_acc": 1.0 - epoch, METRIC: robust})

    assert answer("0000", 1, 20.0) == TrialScheduler.CONTINUE
    assert answer("0000", 3, None) == TrialScheduler.CONTINUE, "no rung"
    assert answer("0001", 1, 19.0) == TrialScheduler.STOP
    assert scheduler.asha.rungs == {1: {"0000": 20.0, "0001": 19.0}, 2: {}}


def test_tpe_learns_from_it() -> None:
    asked = ProposalSearcher(Proposer(tiny(), epochs=3, seed=0), METRIC)
    for name, epoch, robust in (("a", 3, 20.0), ("b", 2, None)):
        asked.suggest(name)
        asked.on_trial_complete(name, {"epoch": epoch, "val_acc": 50.0, METRIC: robust, "diverged": False})
    assert [known.score for known in asked.known.values()] == [score(3, 20.0, False), score(2, 0.0, False)]


def test_the_best_is_the_best_under_corruption() -> None:
    rows = [trial(0, 40.0, 20.0), trial(1, 30.0, 25.0), trial(2, 50.0, None, "failed")]
    best = choose(rows, METRIC)
    assert (best["trial_id"], best["val_acc"], best[METRIC]) == ("0001", 30.0, 25.0)
    assert best["chosen"] == "the highest val_robust_acc after the last epoch, among 2 finished trials"
    assert choose(rows, "val_acc")["trial_id"] == "0000"


def test_between_rungs_the_last_ones_stands_and_a_verdict_is_none(tmp_path: Path) -> None:
    folder = create(tmp_path, "one")
    journal = Journal(folder, METRIC, History(asha=Asha(4, 2)))
    for trial_id in ("0000", "0001"):
        journal.trial_started(trial_id, "search", CONFIG)
    for epoch, robust in ((1, None), (2, 20.0), (3, None)):
        journal.epoch_ended("0000", metrics(epoch, 30.0, val_robust_acc=robust))
    journal.epoch_ended("0001", metrics(1, None, val_robust_acc=None))
    journal.trial_ended("0001", "diverged", None)
    assert [row[METRIC] for row in folder.read_rows("epochs.parquet")] == [None, 20.0, None, None]
    assert [row[METRIC] for row in folder.read_rows("trials.parquet")] == [20.0, None]
    assert folder.read_json("best.json")["trial_id"] == "0000"


def test_reruns_are_picked_and_judged_by_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    asked = settings(metric=METRIC, confirm=2, seeds=3, seed=0)
    trials = [trial(0, 40.0, 20.0), trial(1, 30.0, 25.0), trial(2, 35.0, 24.0)]
    folder.write_table("trials.parquet", trials, TRIALS)
    assert {row["trial_id"] for row, _ in confirm.todo(folder, asked)} == {"0001", "0002"}
    folder.write_table("confirm.parquet", again(1, 30.0, 21.0) + again(2, 20.0, 24.0), confirm.RERUNS)
    confirm.decide(folder, asked)
    best = folder.read_json("best.json")
    assert best["trial_id"] == "0002"
    assert (best[METRIC], best["val_acc"]) == (pytest.approx(24.2), pytest.approx(20.2)), "the means of the reruns"


def test_a_search_goes_on_by_its_own_metric_alone() -> None:
    with pytest.raises(ValueError, match="--metric is val_robust_acc, but the search was started with val_acc"):
        resume.check_agrees(settings(), settings(metric=METRIC))


def test_a_dry_run_says_when_it_is_measured(tmp_path: Path) -> None:
    assert "Metric: val_robust_acc, measured at ASHA's rungs and after the last epoch" in told(tmp_path, metric=METRIC)
    assert "Metric: val_robust_acc, measured after the last epoch" in told(tmp_path, metric=METRIC, scheduler="none")


@pytest.mark.slow  # the tests above hold the choice itself
@pytest.mark.usefixtures("one_ray")
def test_a_search_by_it(tmp_path: Path, in_turns: None) -> None:
    space = tmp_path / "space.py"
    space.write_text(SPACE)
    more = (*SMALL[:2], "--trials", "4", "--max-epochs", "4", "--metric", METRIC, "--confirm", "1", "--seeds", "2")
    code, folder = search(space, tmp_path, small(tmp_path / "data"), "one", *more)
    assert code == cli.DONE
    epochs, rungs = folder.read_rows("epochs.parquet"), folder.read_json("rungs.json")["rungs"]
    for row in epochs:
        diverged = row["val_acc"] is None
        assert (row[METRIC] is not None) == (row["epoch"] in (1, 2, 4) and not diverged)
        if str(row["epoch"]) in rungs:
            assert rungs[str(row["epoch"])][row["trial_id"]] == row[METRIC]
    trials = {row["trial_id"]: row for row in folder.read_rows("trials.parquet")}
    best = folder.read_json("best.json")
    assert best["chosen"].startswith("the only trial with a mean over other seeds")
    finished = {trial_id: row[METRIC] for trial_id, row in trials.items() if row["status"] == "finished"}
    assert best["trial_id"] == max(finished, key=lambda trial_id: finished[trial_id])
    assert all(row[METRIC] is not None for row in folder.read_rows("confirm.parquet"))
