"""The search as a study of Optuna, and the file that optuna-dashboard opens."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from tests.reporting import a_run
from tune.files import Unwritable
from tune.reporting import png, schedule, study
from tune.reporting.distributions import distribution, parameters
from tune.reporting.load import Run, load
from tune.results import RunFolder


@pytest.fixture(scope="module")
def run(big: RunFolder) -> Run:
    return load(big)


def test_each_trial_keeps_its_outcome_its_value_and_its_epochs(run: Run) -> None:
    found = study.whole_trials(run)
    states = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "diverged": TrialState.FAIL}
    assert len(found.trials) == len(run.trials) == 100
    for trial, row in zip(found.trials, run.trials, strict=True):
        assert trial.state == states[row["status"]]
        assert trial.user_attrs["trial_id"] == row["trial_id"] == f"{trial.number:04d}"
        if row["status"] == "finished":
            assert trial.value == row["val_acc"]
        measured = {e["epoch"]: e["val_acc"] for e in run.curves[row["trial_id"]] if e["val_acc"] is not None}
        assert trial.intermediate_values == measured
        assert trial.params["lr"] == row["config.lr"]
    assert found.best_trial.user_attrs["trial_id"] == run.best["trial_id"]


def test_at_a_rung_all_that_came_there_compare(run: Run) -> None:
    done = study.at_epoch(run, 5).get_trials(states=(TrialState.COMPLETE,))
    assert len(done) == len(run.rungs["rungs"]["5"]) > 10 * sum(row["status"] == "finished" for row in run.trials)
    assert {f"{trial.number:04d}": trial.value for trial in done} == run.rungs["rungs"]["5"]


def test_a_conditional_parameter_is_there_only_where_it_means_something(run: Run) -> None:
    found, values = parameters(run.trials)
    for row, own in zip(run.trials, values, strict=True):
        assert ("gamma" in own) == (row["config.scheduler"] == "step")
        assert ("warmup" in own) == (row["config.scheduler"] != "step")
    assert isinstance(found["lr"], FloatDistribution)
    assert found["lr"].log
    assert found["scheduler"] == CategoricalDistribution(("cosine", "one_cycle", "step"))
    assert found["batch_size"] == CategoricalDistribution((8, 32, 64, 128, 256))
    assert found["dropout"] == FloatDistribution(0.0, max(row["config.dropout"] for row in run.trials))
    assert "momentum" not in found, "it is the same in every trial"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1], FloatDistribution(0.1, 0.1)),
        ([1, 2, 3], IntDistribution(1, 3)),
        ([1, 100, 7], IntDistribution(1, 100, log=True)),
        ([True, False], CategoricalDistribution((False, True))),
        ([0.0, 0.2] * 3, CategoricalDistribution((0.0, 0.2))),
    ],
)
def test_a_distribution_is_what_the_values_look_like(values: list[Any], expected: Any) -> None:
    assert distribution(values) == expected


def test_the_times_are_those_of_workers_side_by_side(run: Run) -> None:
    assert schedule.workers(run) == 2
    spans = schedule.spans(run)
    assert spans["0000"].start == spans["0001"].start == 0
    moments = sorted({span.start for span in spans.values()})
    assert all(sum(span.start <= moment < span.end for span in spans.values()) <= 2 for moment in moments)
    assert max(span.end for span in spans.values()) == pytest.approx(run.about["spent_s"], rel=0.01)


def test_trials_of_an_epoch_show_by_their_times_that_they_ran_side_by_side(tmp_path: Path) -> None:
    run = load(a_run.searched(tmp_path / "short", trials=16, horizon=1))
    trained = sum(row["wall_s"] for row in run.trials)
    run.about["spent_s"] = trained * 0.55
    assert schedule.workers(run) == 2
    assert schedule.one_at_a_time(run) is False
    run.about["spent_s"] = trained * 1.2
    assert schedule.one_at_a_time(run) is None


def test_an_interrupted_trial_is_none_that_runs(tmp_path: Path) -> None:
    folder = a_run.searched(tmp_path / "cut", trials=6, horizon=4)
    rows = folder.read_rows("trials.parquet")
    for row, status in zip(rows, ("finished", "running", "interrupted", "failed", "stopped", "diverged"), strict=True):
        row["status"] = status
    a_run.write_trials(folder, rows)
    found = [trial.state for trial in study.whole_trials(load(folder)).trials]
    fail = TrialState.FAIL
    assert found == [TrialState.COMPLETE, TrialState.RUNNING, fail, fail, TrialState.PRUNED, fail]


def test_optuna_dashboard_opens_the_file_as_it_is(run: Run, small: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    study.write({"big": run, "small": load(small)}, path)
    assert [item.name for item in tmp_path.iterdir()] == ["study.db"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), f"sqlite:///{path}", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        studies = {item["study_name"]: item for item in asked(port, "studies")["study_summaries"]}
        assert set(studies) == {"big", "small"}
        detail = asked(port, f"studies/{studies['big']['study_id']}")
    finally:
        server.terminate()
        server.wait(30)
    assert len(detail["trials"]) == 100
    states = {"finished": "Complete", "stopped": "Pruned", "diverged": "Fail"}
    assert [trial["state"] for trial in detail["trials"]] == [states[row["status"]] for row in run.trials]
    best = next(trial for trial in detail["trials"] if trial["number"] == int(run.best["trial_id"]))
    assert best["values"] == [run.best["val_acc"]]
    assert len(best["intermediate_values"]) == 50


def asked(port: int, what: str) -> dict[str, Any]:
    """What optuna-dashboard answers, once it listens."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/{what}", timeout=60) as answer:
                content: dict[str, Any] = json.load(answer)
                return content
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_what_optuna_says_of_itself_is_as_before(run: Run) -> None:
    before = optuna.logging.get_verbosity()
    study.whole_trials(run)
    assert optuna.logging.get_verbosity() == before


def test_a_study_that_cannot_be_written_is_told(big: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match=r"study.db cannot be written: .*unable to open"):
        study.write({"big": load(big)}, tmp_path / "gone" / "study.db")
    (tmp_path / "charts").touch()
    with pytest.raises(Unwritable, match="charts cannot be created: File exists"):
        png.write([], tmp_path / "charts")
