"""Other endings: interrupts, killed final trainings, and what a search leaves on the disk."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.survival.search_process import Search, left_behind
from tune.results import RunFolder

Ending = Literal["Ctrl-C", "SIGTERM", "Ctrl-C twice"]

SECOND_AFTER_S = 0.3
"""Seconds between two Ctrl-C."""


def interrupt(ending: Ending, times: int, storage: Path, data_dir: Path) -> dict[str, Any]:
    """Interrupts searches by a signal at a random moment after their first epoch, with W&B offline.

    `seconds`: from the last signal to the end of the command. `wrong`: no exit code 130, no command to continue with,
    or an end before the second signal.
    """
    rng = random.Random(ending)
    found: dict[str, Any] = {"times": times, "seconds": [], "wrong": 0, "left": 0}
    for number in range(times):
        search = Search.of(storage, data_dir, f"{ending.replace(' ', '-').lower()}-{number}")
        search.start()
        while not search.reported and search.wait(0.05) is None:
            pass
        search.wait(rng.uniform(0, 3))
        assert search.process is not None
        search.process.send_signal(signal.SIGTERM if ending == "SIGTERM" else signal.SIGINT)
        if ending == "Ctrl-C twice":
            found["wrong"] += search.wait(SECOND_AFTER_S) is not None
            search.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        search.process.wait(60.0)
        found["seconds"].append(time.monotonic() - began)
        code = search.wait(60.0)  # until no process holds its output open
        found["wrong"] += code != 130 or "--resume" not in search.last_line
        found["left"] += bool(left_behind(str(search.folder.path)))
    return found


def finalize(kills: int, run: RunFolder) -> dict[str, Any]:
    """Kills and resumes final trainings at random moments, and compares their weights with an undisturbed one's."""
    rng = random.Random("finalize")
    command = [sys.executable, "-m", "tune.finalize", str(run.path), "--epochs", "6"]
    subprocess.run(command, check=True, capture_output=True)
    whole = _weights(run.final / "model.pt")
    found = {"kills": 0, "trainings": 0, "differ": 0}
    while found["kills"] < kills:
        shutil.rmtree(run.final)
        while True:
            more = ["--resume"] if (run.final / "checkpoint.pt").is_file() else ["--overwrite"]
            process = subprocess.Popen([*command[:4], *more, *command[4:]], stdout=subprocess.DEVNULL)
            try:
                if process.wait(None if found["kills"] == kills else rng.uniform(1.0, 12.0)) != 0:
                    raise RuntimeError("a final training failed that was not killed")
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                found["kills"] += 1
                if (run.final / "metrics.json").is_file():  # everything but the predictions was done
                    break
        found["trainings"] += 1
        ours = _weights(run.final / "model.pt")
        found["differ"] += not all(torch.equal(ours[name], whole[name]) for name in whole)
    return found


def _weights(path: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["model"]
    return weights


def on_disk(storage: Path, data_dir: Path, trials: int = 100) -> dict[str, Any]:
    """The size (MB) of a search's folder: the peak of its checkpoints while it ran, and everything at the end."""
    search = Search.of(storage, data_dir, "large")
    search.arguments += ["--trials", str(trials), "--max-epochs", "2", "--train-subset", "200"]
    search.start()
    kept, files = 0.0, 0
    while search.wait(0.05) is None:
        now = list((search.folder.path / "checkpoints").glob("*.pt"))
        kept, files = max(kept, _mb(now)), max(files, len(now))
    if search.wait(0) != 0 or len(search.folder.read_rows("trials.parquet")) != trials:
        raise RuntimeError(f"the search of {trials} trials ended early: {search.last_line}")
    inside = {name: _mb(list((search.folder.path / name).rglob("*"))) for name in ("wandb", "ray", "checkpoints")}
    everything = _mb(list(search.folder.path.rglob("*")))
    return {"trials": trials, "kept_mb": kept, "kept_files": files, "all_mb": everything, **inside}


def _mb(files: list[Path]) -> float:
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue  # removed in the meantime
    return total / 1e6
