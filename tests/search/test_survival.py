"""Searches that are killed, starved and crowded: what is lost must be nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.survival import endings, search_process, torture
from benchmarks.survival.torture import rows
from tests.wandb_file import read_run
from tune import cli, run, tracking
from tune.results import RunFolder
from tune.search import launch

pytestmark = pytest.mark.starts_ray

SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=5, trials=3, cpus_per_trial=1,
    parameters={"lr": tune.loguniform(1e-2, 0.3), "batch_size": tune.choice([32, 64])},
    reference={"lr": 0.1, "batch_size": 64},
)
"""


def asked(storage: Path, data_dir: Path) -> list[str]:
    """A search whose trials neither meet nor learn from each other, so that it ends the same in any order."""
    space = storage / "space.py"
    space.write_text(SPACE)
    given = ["--space", space, "--data", "synthetic", "--data-dir", data_dir, "--storage", storage]
    given += ["--train-subset", "500", "--val-fraction", "0.1", "--search", "random", "--scheduler", "none"]
    return [*map(str, given), "--gpus-per-trial", "0", "--cpus-per-trial", "1", "--wandb", "disabled", "--no-dashboard"]


@pytest.fixture
def arguments(tmp_path: Path, synthetic_root: Path) -> list[str]:
    return asked(tmp_path, synthetic_root)


@pytest.fixture(scope="module")
def left_alone(
    one_ray: None, synthetic_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int], dict[str, Any]]:
    """The epochs of that search when nothing happens to it."""
    storage = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launch, "_at_once", lambda share: 1)
        folder = searched(asked(storage, synthetic_root), "whole")
    assert not (folder.path / "checkpoints").exists(), "nothing is kept of trials that have ended"
    return rows(folder)


@pytest.fixture
def kept_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "CHECKPOINT_EVERY_S", 0.0)


def searched(arguments: list[str], name: str) -> RunFolder:
    assert cli.run(run.prepare, [*arguments, "--name", name]) == cli.DONE
    return RunFolder(Path(arguments[arguments.index("--storage") + 1]) / name)


@contextmanager
def while_it_runs(act: Any) -> Iterator[None]:
    """Calls `act` again and again in a thread, until it returns True or the block ends."""
    over = threading.Event()

    def go() -> None:
        while not over.is_set() and not act():
            time.sleep(0.02)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def kill_a_trial() -> bool:
    """kill -9 of a process that trains."""
    return any(search_process.kill(process) for process in search_process.trials_of(psutil.Process())[:1])


@pytest.mark.slow  # the killed driver below is the quick one
@pytest.mark.usefixtures("one_ray", "kept_each_epoch")
def test_a_killed_worker_costs_no_epoch_and_one_that_dies_again_not_the_search(
    arguments: list[str], tmp_path: Path, left_alone: Any, in_turns: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """In turns, so that it is known whose process trains."""
    folder = RunFolder(tmp_path / "killed")
    killed: list[tuple[str, int]] = []

    def kill_the_first_twice_and_the_second_once() -> bool:
        for trial_id, times in (("0000", 2), ("0001", 1)):
            kept = folder.path / "checkpoints" / f"{trial_id}.pt"
            with suppress(FileNotFoundError):
                seen = (trial_id, kept.stat().st_mtime_ns)
                if seen not in killed and [of for of, _ in killed].count(trial_id) < times and kill_a_trial():
                    killed.append(seen)
        return len(killed) == 3

    with while_it_runs(kill_the_first_twice_and_the_second_once):
        searched(arguments, "killed")
    first, second, third = folder.read_rows("trials.parquet")
    assert (first["status"], first["error"]) == ("failed", "its process died (killed, crashed, or out of memory)")
    assert (second["status"], second["error"]) == ("finished", f"tried again after: {first['error']}")
    assert (third["status"], third["error"]) == ("finished", None)
    ours = rows(folder)
    for trial_id in ("0001", "0002"):
        assert [ours[trial_id, epoch] for epoch in range(1, 6)] == [
            left_alone[trial_id, epoch] for epoch in range(1, 6)
        ]
    trained = re.findall(r"trial 0001 epoch (\d)/5", capsys.readouterr().out)
    assert set(trained) == set("12345")
    assert len(trained) <= 6, "more than the epoch after the checkpoint was trained again"
    assert folder.read_json("best.json")["trial_id"] != "0000", "what failed is no result"


@pytest.mark.usefixtures("one_ray")
def test_a_search_whose_driver_is_killed_goes_on_from_the_checkpoints(
    arguments: list[str], tmp_path: Path, left_alone: Any, in_turns: None, kept_each_epoch: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """kill -9 of the command, as a user starts it, with W&B; then --resume here."""
    arguments[arguments.index("disabled")] = "offline"
    told = []
    with subprocess.Popen(
        [sys.executable, "-c", search_process.COMMAND, *arguments, "--name", "dead"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"SEARCH": "dead"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told += re.findall(r"trial (\d+) epoch (\d)/5", line)
            if ("0000", "3") in told:
                process.kill()
    assert search_process.left_behind("dead", within_s=60) == []
    folder = RunFolder(tmp_path / "dead")
    assert (folder.path / "checkpoints" / "0000.pt").is_file()

    capsys.readouterr()
    assert cli.run(run.prepare, ["--resume", str(folder.path)]) == cli.DONE
    told += re.findall(r"trial (\d+) epoch (\d)/5", capsys.readouterr().out)
    assert rows(folder) == left_alone
    assert len(told) <= 15 + 1, "the one trial that ran lost more than an epoch"
    assert not (folder.path / "checkpoints").exists()
    # W&B goes on with a run in another file; what it had not written in the moment of the kill is lost to it.
    files = [read_run(file) for file in folder.path.glob("wandb/offline-run-*/*.wandb")]
    runs = {trial_id: tracking.run_ids(folder)(trial_id) for trial_id in ("0000", "0001", "0002")}
    assert {run.id for run in files} == set(runs.values())
    logged = {(run.id, row["epoch"]) for run in files for row in run.history if "epoch" in row}
    assert logged >= {(run, epoch) for run in runs.values() for epoch in (4, 5)}
    assert all(run.resume for run in files if run.history), "or it would begin the run anew"


@pytest.mark.slow  # test_a_disk_that_is_full_at_once is the quick one
@pytest.mark.usefixtures("one_ray")
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_ends_the_search_with_a_sentence_and_it_goes_on_when_there_is_room(
    arguments: list[str], tmp_path: Path, left_alone: Any, capsys: pytest.CaptureFixture[str], kept_each_epoch: None
) -> None:
    """A disk for some results, and no checkpoint."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    arguments[arguments.index("--storage") + 1] = str(disk)
    folder = RunFolder(disk / "full")
    try:
        assert cli.run(run.prepare, [*arguments, "--name", "full"]) == cli.FAILED
        # What else is written in the moment in which a checkpoint fills the disk does not fit either.
        assert re.fullmatch(
            r"failed: \S+ cannot be written: No space left on device. "
            r"To resume: python -m tune.run --resume full --storage \S+\n",
            capsys.readouterr().err,
        )
        assert {row["status"] for row in folder.read_rows("trials.parquet")} <= {"interrupted", "running"}
        assert len(folder.read_rows("epochs.parquet")) >= 1
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        assert cli.run(run.prepare, ["--resume", str(folder.path)]) == cli.DONE
        assert rows(folder) == left_alone
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # Ray may still have a file open


def test_a_disk_that_is_full_at_once_leaves_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = run.prepare([*arguments, "--name", "full"])
    (tmp_path / "full" / "epochs.parquet").mkdir()  # the first file that is written
    with pytest.raises(cli.WorkFailed, match=r"epochs.parquet cannot be written: .*\. Nothing had started"):
        work()
    assert not (tmp_path / "full").exists()


@pytest.mark.slow
def test_two_searches_at_once_and_two_of_one_name(arguments: list[str], tmp_path: Path) -> None:
    """Each with a Ray of its own; of two that want one folder, one gets it."""

    def begin(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tune.run", *arguments, "--max-epochs", "2", "--name", name]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    started = [begin(name) for name in ("one", "other", "other")]
    said = [process.communicate(timeout=200)[0] for process in started]
    codes = [process.returncode for process in started]
    assert codes[0] == cli.DONE, said[0]
    assert sorted(codes[1:]) == [cli.DONE, cli.WRONG_INPUT], said
    assert "already exists" in said[codes.index(cli.WRONG_INPUT)]
    assert rows(RunFolder(tmp_path / "one")) == rows(RunFolder(tmp_path / "other"))
    assert len(rows(RunFolder(tmp_path / "one"))) == 6


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["SIGTERM", "Ctrl-C twice"])
def test_another_interrupt_ends_likewise(ending: endings.Ending, tmp_path: Path, synthetic_root: Path) -> None:
    found = endings.interrupt(ending, 1, tmp_path, synthetic_root)
    assert (found["wrong"], found["left"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["driver", "worker", "raylet"])
def test_nothing_is_lost_when_anything_is_killed_at_any_moment(
    victim: search_process.Victim, tmp_path: Path, synthetic_root: Path
) -> None:
    """Three kills of each; `python -m benchmarks.survival` does twenty, for docs/reliability.md."""
    whole = torture.left_alone(search_process.Search.of(tmp_path, synthetic_root, "whole"))
    found = torture.torture(victim, 3, whole, tmp_path, synthetic_root)
    losses = ("lost", "doubled", "differ", "left", "wrong", "broken_reads")
    assert {name: found[name] for name in losses} == dict.fromkeys(losses, 0)
    assert found["again"] <= found["kills"], "more than an epoch a kill was trained again"
