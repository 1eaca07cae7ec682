"""A search run as a command, killed and resumed, and the processes it leaves behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from tune.results import RunFolder

Victim = Literal["driver", "worker", "raylet"]

SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=8, trials=12, cpus_per_trial=1,
    parameters={
        "lr": tune.loguniform(1e-2, 0.3),
        "batch_size": tune.choice([32, 64, 128]),
        "weight_decay": tune.loguniform(1e-5, 1e-2),
    },
    reference={"lr": 0.1, "batch_size": 64, "weight_decay": 0.0005},
)
"""

COMMAND = """
import sys
from tune import cli, run
def prepare(arguments):
    from tune.search import launch
    launch.CHECKPOINT_EVERY_S, launch._at_once = 0.0, lambda share: 1
    return run.prepare(arguments)
sys.exit(cli.run(prepare))
"""
"""tune.run with a checkpoint after every epoch, however short, and one trial at a time.

Its decisions then do not depend on the speed of its processes.
"""

GONE_WITHIN_S = 5.0
"""After a kill, all processes of the search must be gone within this time."""

TRIAL = re.compile("ray::(Trial|ResourceTrainable)")
"""Title of a trial's process: Ray's name of the class or, while it trains, of `tune.with_resources`' wrapper."""


@dataclass
class Search:
    """A search in one folder, started as often as it takes."""

    folder: RunFolder
    arguments: list[str]
    reported: list[str] = field(default_factory=list)
    """Each reported epoch, such as `0003 5`, as often as it was trained."""

    running: str = ""
    """The trial that started last."""

    died: set[str] = field(default_factory=set)
    """The trials whose process has already died once."""

    last_line: str = ""
    process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None

    @classmethod
    def of(cls, storage: Path, data_dir: Path, name: str) -> Search:
        """A search on synthetic data, with W&B offline. `start` starts it."""
        storage.mkdir(parents=True, exist_ok=True)
        space = storage / "space.py"
        space.write_text(SPACE)
        arguments = ["--space", str(space), "--data", "synthetic", "--data-dir", str(data_dir), "--seed", "0"]
        arguments += ["--train-subset", "2000", "--val-fraction", "0.1", "--gpus-per-trial", "0"]
        arguments += ["--cpus-per-trial", "1", "--wandb", "offline"]
        return cls(RunFolder(storage / name), [*arguments, "--storage", str(storage), "--name", name])

    def start(self) -> None:
        """Starts or resumes it."""
        begun = (self.folder.path / "experiment.json").is_file()
        arguments = ["--resume", str(self.folder.path)] if begun else self.arguments
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "SEARCH": str(self.folder.path)},
        )
        self._reader = threading.Thread(target=self._read, args=[self.process])
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as said:
            for line in said:
                if found := re.search(r"trial (\d+) epoch (\d+)/", line):
                    self.reported.append(f"{found[1]} {found[2]}")
                if found := re.search(r"trial (\d+) \(\w+\) starts", line):
                    self.running = found[1]
                if found := re.search(r"trial (\d+) failed and is tried once more", line):
                    self.died.add(found[1])
                self.last_line = line.strip()

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None if it is still running after `seconds`."""
        assert self.process is not None
        assert self._reader is not None
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            self._reader.join()
        return self.process.returncode

    def kill(self, victim: Victim) -> bool:
        """kill -9 of the driver, its raylet or the trial's process. False if there is no such process."""
        assert self.process is not None
        with suppress(psutil.Error):
            driver = psutil.Process(self.process.pid)
            found = {
                "driver": [driver],
                "raylet": [child for child in driver.children() if child.name() == "raylet"],
                "worker": trials_of(driver),
            }[victim]
            return any(kill(process) for process in found[:1])
        return False


def trials_of(driver: psutil.Process) -> list[psutil.Process]:
    """The trial processes of a driver."""
    return [child for child in driver.children(recursive=True) if TRIAL.match(_title(child))]


def kill(process: psutil.Process) -> bool:
    """kill -9. False if it had already ended."""
    with suppress(psutil.Error):
        process.kill()
        return True
    return False


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return (process.cmdline() or [""])[0]
    return ""


def left_behind(name: str, within_s: float = GONE_WITHIN_S) -> list[str]:
    """The processes still left after `within_s` of a search with `name` as SEARCH in its environment."""
    deadline = time.monotonic() + within_s
    while (found := [_title(process) for process in processes(name)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def processes(name: str) -> list[psutil.Process]:
    """All processes with `name` as SEARCH in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SEARCH") == name:
                found.append(process)
    return found


@contextmanager
def read_all_the_while(folder: RunFolder) -> Iterator[dict[str, int]]:
    """Keeps reading the files of a search, like an impatient user, and counts reads and failures."""
    count = {"read": 0, "broken": 0}
    over = threading.Event()

    def read() -> None:
        while not over.wait(0.02):
            for name in ("trials.parquet", "epochs.parquet", "best.json", "rungs.json", "experiment.json"):
                if not (folder.path / name).is_file():
                    continue
                try:
                    _ = folder.read_rows(name) if name.endswith("parquet") else folder.read_json(name)
                    count["read"] += 1
                except ValueError:
                    count["broken"] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield count
    finally:
        over.set()
        reader.join()
