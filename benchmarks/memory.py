"""What memory one more trial takes: private pages of the processes of a real search, read from /proc while it runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import ROOT, Options
from benchmarks.searches import SPACE

READ_EVERY_S = 0.5


def trial_mb(options: Options) -> dict[str, float]:
    """MB: the highest a trial's process held for itself, a process that only imports torch, and the images' file.

    `images_private` is what a trial holds of the images' file for itself: 0 if all trials share one copy.
    """
    with tempfile.TemporaryDirectory() as storage:
        command = [sys.executable, "-m", "tune.run", "--space", str(SPACE), "--storage", storage, "--name", "memory"]
        command += ["--data-dir", str(options.data_dir), "--wandb", "disabled", "--gpus-per-trial", "0", "--seed", "0"]
        command += ["--train-subset", "500" if options.quick else "10000", "--trials", "4", "--max-epochs", "1"]
        highest, mapped, of_file = 0.0, 0.0, 0.0
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                for trial in trials_below(process.pid):
                    highest = max(highest, private_mb(trial))
                    size, private = mapping_mb(trial, ".arrow")
                    mapped, of_file = max(mapped, size), max(of_file, private)
                time.sleep(READ_EVERY_S)
    assert highest, "no trial was seen"
    return {"trial": highest, "import_torch": import_torch_mb(), "images": mapped, "images_private": of_file}


def import_torch_mb() -> float:
    """Private memory of a process that has imported torch and done nothing."""
    code = "import torch, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        found = private_mb(process.pid)
        process.stdin.close()
    return found


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
    """Memory that would be free again if the process ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(found) for found in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)) / 1024


def mapping_mb(pid: int, ending: str) -> tuple[float, float]:
    """Size of the process's mappings of files with that ending, and the part that is written and its own."""
    try:
        text = Path(f"/proc/{pid}/smaps").read_text()
    except OSError:
        return 0.0, 0.0
    size = private = 0
    for block in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.MULTILINE):
        if block.partition("\n")[0].endswith(ending):
            size += sum(int(found) for found in re.findall(r"^Size:\s+(\d+) kB", block, re.MULTILINE))
            private += sum(int(found) for found in re.findall(r"^Private_Dirty:\s+(\d+) kB", block, re.MULTILINE))
    return size / 1024, private / 1024


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
