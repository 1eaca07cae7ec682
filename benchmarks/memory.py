"""The memory of one more trial: private pages of a real search's processes, read from /proc while it runs."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from benchmarks.compare import ROOT, Options
from benchmarks.searches import SPACE
from benchmarks.survival.search_process import TRIAL
from tune.results import RunFolder

READ_EVERY_S = 0.5


def trial_mb(options: Options) -> dict[str, Any]:
    """The most private memory (MB) that a trial's process held, and that of a Ray worker that only imports torch.

    A private copy of the images would show in the former, since the file that they are mapped from is shared. None
    where the system does not tell. Trials are recognised by the titles of their processes, so no other search may run
    at the same time.
    """
    with tempfile.TemporaryDirectory() as storage:
        command = [sys.executable, "-m", "tune.run", "--space", str(SPACE), "--storage", storage, "--name", "memory"]
        command += ["--data-dir", str(options.data_dir), "--wandb", "disabled", "--gpus-per-trial", "0", "--seed", "0"]
        command += ["--train-subset", "500" if options.quick else "10000", "--trials", "8", "--max-epochs", "1"]
        command += ["--cpus-per-trial", "1"]
        highest, seen = 0.0, set[str]()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                running = {pid: name for pid, name in processes() if name.startswith("ray::")}
                seen |= set(running.values())
                trials = (private_mb(pid) for pid, name in running.items() if TRIAL.match(name))
                highest = max([highest, *trials])
                time.sleep(READ_EVERY_S)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        rows = RunFolder(Path(storage) / "memory").read_rows("trials.parquet")
    if not highest:
        print(f"/proc tells no memory of a trial here; Ray's processes: {sorted(seen)}", file=sys.stderr)
    return {
        "trial": highest or None,
        "import_torch": import_torch_mb(),
        "batch_sizes": sorted({row["config.batch_size"] for row in rows}),
    }


def import_torch_mb() -> float | None:
    """The private memory of a Ray worker that has only imported torch."""

    @ray.remote  # type: ignore[untyped-decorator]  # Ray ships no types for it
    def bare() -> int:
        import os

        import torch  # noqa: F401

        return os.getpid()

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        return private_mb(ray.get(bare.remote())) or None
    finally:
        ray.shutdown()


def processes() -> Iterator[tuple[int, str]]:
    """Id and title of each process of this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended in the meantime
            yield int(folder.name), (folder / "cmdline").read_text(errors="replace").split("\0")[0]


def private_mb(pid: int) -> float:
    """Memory that only this process holds, in MB: anonymous pages, without those mapped from files."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(found) for found in re.findall(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)) / 1024
