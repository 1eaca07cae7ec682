"""The logger's process as the commands use it: what its files say, and how long it is waited for."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.a_deaf_server import DeafServer
from tests.a_search import settings
from tests.wandb_file import read_runs
from tune import results, tracking
from tune.results import RunFolder
from tune.tracking import Wandb, epoch_rows, opened, run_ids, sync_command, thinned


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = results.create(tmp_path, "a search of mine")
    made.write_json("experiment.json", {"started": results.now()})
    return made


def epoch(number: int) -> list[dict[str, object]]:
    return epoch_rows({"epoch": number, "val_acc": 10.0 * number, "train_loss": float("nan")}, [2.0, 1.0], 6)


def test_two_runs_side_by_side_take_one_process_and_end_with_their_tags(folder: RunFolder) -> None:
    said: list[str] = []
    with opened("offline", settings(name=folder.name), folder, said.append) as tracker:
        for number in ("0000", "0001"):
            tracker.start(run_ids(folder)(number), number, "trial", {"lr": 0.1, "origin": "search"})
        for number in ("0001", "0000"):
            tracker.log(run_ids(folder)(number), epoch(1))
        tracker.end(run_ids(folder)("0000"), "stopped")
        tracker.log(run_ids(folder)("0000"), epoch(2))  # too late to be heard
        tracker.log(run_ids(folder)("0001"), epoch(2))
        assert isinstance(tracker, Wandb)
        logger = psutil.Process(tracker._logger.pid)
        while not (children := logger.children(recursive=True)):
            time.sleep(0.05)
    assert said == []
    assert [child.name() for child in children if child.is_running()] == []
    runs = {run.name: run for run in read_runs(folder.path).values()}
    assert {name: (run.group, run.tags, run.ended) for name, run in runs.items()} == {
        "0000": (folder.name, ["stopped"], True),
        "0001": (folder.name, ["interrupted"], True),
    }
    assert [row["step"] for row in runs["0001"].history if "step" in row] == [3, 6, 9, 12]
    assert [row["val_acc"] for row in runs["0000"].history if "epoch" in row] == [10]


def test_the_command_that_is_printed_finds_the_runs(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened("offline", settings(name=folder.name), folder, print) as tracker:
        tracker.start(run_ids(folder)("0000"), "0000", "trial", {})
    monkeypatch.chdir(folder.path.parent)
    command = sync_command(folder)
    assert command == "wandb sync 'a search of mine'/wandb/*run-*"
    wandb = command.replace("wandb", f"{shlex.quote(sys.executable)} -m wandb", 1)
    done = subprocess.run(f"{wandb} --dry-run", shell=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (folder.path / "wandb").glob("offline-run-*")
    assert path.name in done.stdout + done.stderr


def test_who_interrupts_waits_for_seconds_and_is_told_what_is_missing(
    folder: RunFolder, deaf_server: DeafServer
) -> None:
    said: list[str] = []
    began = time.monotonic()
    with suppress(KeyboardInterrupt), opened("online", settings(name=folder.name), folder, said.append) as tracker:
        tracker.start(run_ids(folder)("0000"), "0000", "trial", {})
        raise KeyboardInterrupt
    assert time.monotonic() - began < tracking.INTERRUPTED_TIMEOUT_S + 10
    assert said == [f"Warning: W&B did not upload everything in time. What it lacks: {sync_command(folder)}"]
    assert deaf_server.asked()
    assert deaf_server.key_in(folder.path) == []


@pytest.mark.slow
def test_what_a_deaf_server_does_not_take_lies_here(folder: RunFolder, deaf_server: DeafServer) -> None:
    said: list[str] = []
    began = time.monotonic()
    with opened("online", settings(name=folder.name), folder, said.append) as tracker:
        for number in ("0000", "0001"):
            tracker.start(run_ids(folder)(number), number, "trial", {})
            tracker.log(run_ids(folder)(number), epoch(1))
            tracker.end(run_ids(folder)(number), "finished")
    assert time.monotonic() - began < tracking.END_TIMEOUT_S + 10
    assert said[0].startswith("Waiting for W&B")
    assert said[1].startswith("Warning: W&B could not be reached (")
    assert said[1].endswith(f"What it lacks: {sync_command(folder)}")
    runs = {run.name: run for run in read_runs(folder.path).values()}
    assert {name: run.tags for name, run in runs.items()} == {"0000": ["finished"], "0001": ["finished"]}
    assert all(run.history[-1]["val_acc"] == 10 for run in runs.values())
    assert deaf_server.asked()
    assert deaf_server.key_in(folder.path) == []


def test_a_logger_that_dies_is_told_and_stops_nothing(folder: RunFolder) -> None:
    said: list[str] = []
    with opened("offline", settings(name=folder.name), folder, said.append) as tracker:
        assert isinstance(tracker, Wandb)
        os.kill(tracker._logger.pid, 9)
        tracker._logger.wait()
        tracker.start(run_ids(folder)("0000"), "0000", "trial", {})
        tracker.log(run_ids(folder)("0000"), epoch(1) * 1000)
    assert said[0].startswith("Warning: W&B's process died (exit code -9). What it lacks: ")


def test_searches_of_the_same_name_have_other_ids(folder: RunFolder) -> None:
    before = run_ids(folder)("0000")
    assert before.startswith("a-search-of-mine-0000-")
    folder.write_json("experiment.json", {"started": "2026-01-01T00:00:00Z"})
    assert run_ids(folder)("0000") != before


def test_many_steps_become_few_points() -> None:
    assert thinned([1.0, 2.0, 3.0, 4.0, 5.0], 2) == [1.5, 4.0]
    assert thinned([1.0, 2.0], 100) == [1.0, 2.0]
