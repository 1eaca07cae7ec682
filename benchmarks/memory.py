"""What memory one more trial takes: private pages of the processes of a real search, read from /proc while it runs."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from benchmarks.compare import ROOT, Options
from benchmarks.searches import SPACE
from tune.results import RunFolder

READ_EVERY_S = 0.5


def trial_mb(options: Options) -> dict[str, Any]:
    """MB: the highest that a trial's process held for itself, and what one of Ray's holds that only imports torch.

    A copy of the images of its own would show in the first figure, since the file they are read from is shared.
    """
    with tempfile.TemporaryDirectory() as storage:
        command = [sys.executable, "-m", "tune.run", "--space", str(SPACE), "--storage", storage, "--name", "memory"]
        command += ["--data-dir", str(options.data_dir), "--wandb", "disabled", "--gpus-per-trial", "0", "--seed", "0"]
        command += ["--train-subset", "500" if options.quick else "10000", "--trials", "8", "--max-epochs", "1"]
        highest = 0.0
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                highest = max([highest, *map(private_mb, trials_below(process.pid))])
                time.sleep(READ_EVERY_S)
        trials = RunFolder(Path(storage) / "memory").read_rows("trials.parquet")
    if process.returncode or not highest:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}, and {highest:.0f} MB were seen")
    return {
        "trial": highest,
        "import_torch": import_torch_mb(),
        "batch_sizes": sorted({row["config.batch_size"] for row in trials}),
    }


def import_torch_mb() -> float:
    """The same of a process of Ray's that has imported torch and done nothing."""

    @ray.remote  # type: ignore[untyped-decorator]  # Ray ships no types for it
    def bare() -> int:
        import os

        import torch  # noqa: F401

        return os.getpid()

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        return private_mb(ray.get(bare.remote()))
    finally:
        ray.shutdown()


def trials_below(root: int) -> Iterator[int]:
    """Processes in which Ray runs a trial of the search that `root` started."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root and _name(pid).startswith("ray::Trial"):
            yield pid


def private_mb(pid: int) -> float:
    """Memory that nobody else can have before the process ends; pages that it only reads from files do not count."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(found) for found in re.findall(r"^Private_Dirty:\s+(\d+) kB", text, re.MULTILINE)) / 1024


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
