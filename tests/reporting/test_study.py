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
from optuna.trial import TrialState

from tests.reporting import a_run
from tune.files import Unwritable
from tune.reporting import study
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


def test_an_interrupted_trial_is_none_that_runs(tmp_path: Path) -> None:
    folder = a_run.searched(tmp_path / "cut", trials=6, horizon=4)
    rows = folder.read_rows("trials.parquet")
    for row, status in zip(rows, ("finished", "running", "interrupted", "failed", "stopped", "diverged"), strict=True):
        row["status"] = status
    a_run.write_trials(folder, rows)
    found = [trial.state for trial in study.whole_trials(load(folder)).trials]
    fail = TrialState.FAIL
    assert found == [TrialState.COMPLETE, TrialState.RUNNING, fail, fail, TrialState.PRUNED, fail]


@pytest.mark.slow
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
