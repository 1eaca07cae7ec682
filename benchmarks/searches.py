"""Whole searches as commands, ours and the peers' over the same space, and where the time of ours goes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compare import ROOT, Options
from tune.results import RunFolder
from tune.search.devices import this_machine

WORKERS = this_machine().cpus
"""Concurrent trials, one per core, for ours and for the peers."""

PEERS = {"plain_ray_tune": "Ray Tune", "plain_optuna": "Optuna"}
SPACE = ROOT / "benchmarks" / "space.py"


@dataclass(frozen=True)
class Size:
    """The size of the search, the same for all."""

    trials: int
    epochs: int
    images: int

    @classmethod
    def of(cls, options: Options) -> Size:
        return cls(WORKERS, 1, 500) if options.quick else cls(16, 4, 10_000)

    def arguments(self, options: Options, seed: int) -> list[str]:
        return [
            *("--data-dir", str(options.data_dir), "--train-subset", str(self.images), "--trials", str(self.trials)),
            *("--max-epochs", str(self.epochs), "--seed", str(seed)),
        ]


def measure(peer: str, found: dict[str, Any], options: Options) -> Iterator[None]:
    """Runs our search and the peer's in turn, and yields after adding each pair to `found`."""
    found |= {"workers": WORKERS, "ours": [], "theirs": []}
    for seed in range(options.runs):
        with tempfile.TemporaryDirectory() as storage:
            for side in ("ours", "theirs") if seed % 2 == 0 else ("theirs", "ours"):
                here = Path(storage) / side
                run = ours(options, seed, here) if side == "ours" else plain(peer, options, seed, here)
                found[side].append(run)
        yield


def ours(options: Options, seed: int, storage: Path) -> dict[str, Any]:
    """Runs `tune.run`: its total seconds, best accuracy, epochs, and how the workers spent the time."""
    command = [sys.executable, "-m", "tune.run", "--space", str(SPACE), "--name", "ours", "--storage", str(storage)]
    command += ["--wandb", "disabled", "--gpus-per-trial", "0", "--cpus-per-trial", "1"]
    command += Size.of(options).arguments(options, seed)
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=_environment()) as process:
        assert process.stdout is not None
        lines = [(time.monotonic() - began, line) for line in process.stdout]
    wall = time.monotonic() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {lines[-3:]}")
    folder = RunFolder(storage / "ours")
    if failed := [row["error"] for row in folder.read_rows("trials.parquet") if row["status"] == "failed"]:
        raise RuntimeError(f"a trial of ours failed: {failed[0]}")
    epochs = folder.read_rows("epochs.parquet")
    seconds = {(row["trial_id"], row["epoch"]): row["wall_s"] for row in epochs}
    return {
        "wall_s": wall,
        "best_val_acc": folder.read_json("best.json")["val_acc"],
        "epochs": len(epochs),
        "parts": parts(ends_of(lines), seconds, wall, WORKERS),
    }


def plain(name: str, options: Options, seed: int, storage: Path) -> dict[str, Any]:
    """The same for `benchmarks.peers.NAME`, without the parts of the time."""
    command = [sys.executable, "-m", f"benchmarks.peers.{name}", "--storage", str(storage)]
    command += Size.of(options).arguments(options, seed)
    if name == "plain_optuna":
        command += ["--workers", str(WORKERS)]
    storage.mkdir(parents=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=_environment())
    wall = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found["trials"] < Size.of(options).trials:
        raise RuntimeError(f"{name} ran {found['trials']} trials")
    return {"wall_s": wall, **found}


def ends_of(lines: list[tuple[float, str]]) -> dict[tuple[str, int], float]:
    """When each epoch of each trial was reported, from the lines that `tune.run` prints to a pipe."""
    ends = {}
    for when, line in lines:
        if found := re.search(r"trial (\d+) epoch (\d+)/", line):
            ends[found[1], int(found[2])] = when
    return ends


def parts(
    ends: dict[tuple[str, int], float], seconds: dict[tuple[str, int], float], wall: float, workers: int
) -> dict[str, float]:
    """Where the workers' time went, as fractions of wall x workers.

    `training`: epochs, validation included. `start`: until each worker's first epoch begins, assuming that the first
    epochs of all belong to different workers. `tail`: workers with nothing left to do while the last trials finish.
    `end`: after the last epoch. `between`: everything else, between a worker's epochs and between its trials.
    """
    total = wall * workers
    begins = sorted(ends[trial, 1] - seconds[trial, 1] for trial, epoch in ends if epoch == 1)
    last_of_trial = {trial: max(when for (other, _), when in ends.items() if other == trial) for trial, _ in ends}
    finishes = sorted(last_of_trial.values())
    known = {
        "training": sum(seconds.values()),
        "start": sum(begins[:workers]),
        "tail": sum(finishes[-1] - when for when in finishes[-workers:]),
        "end": (wall - finishes[-1]) * workers,
    }
    return {name: value / total for name, value in known.items()} | {"between": 1 - sum(known.values()) / total}


def _environment() -> dict[str, str]:
    return os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "CUDA_VISIBLE_DEVICES": ""}
