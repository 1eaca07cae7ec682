"""Searches on a cluster of the tests' own, by the command."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.survival import search_process
from tests import ROOT
from tests.a_cluster import Cluster
from tune.results import RunFolder

SPACE = """
from ray import tune
from tune.space import SearchSpace

SPACE = SearchSpace(
    model="simple_cnn", epochs=8, trials=5,
    parameters={"lr": tune.loguniform(1e-3, 0.3), "batch_size": 64},
    reference={"lr": 0.05, "batch_size": 64},
)
"""


def asked_of(cluster: Cluster, data_dir: Path, name: str, *more: str) -> list[str]:
    """Options of a search there. The last of the hidden folders is where runs lie, unless `more` says otherwise."""
    storage = cluster.hidden[-1]
    (storage / "space.py").write_text(SPACE)
    asked = ["--space", storage / "space.py", "--data", "synthetic", "--data-dir", data_dir, "--storage", storage]
    asked += ["--train-subset", "500", "--val-fraction", "0.1", "--search", "random", "--scheduler", "none"]
    return [*map(str, asked), "--wandb", "disabled", "--address", cluster.address, "--name", name, *more]


class Search:
    """The command in a process, and what it says."""

    def __init__(self, cluster: Cluster, data_dir: Path, name: str, *more: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", "CLUSTER": cluster.mark}
        self.folder, self.lines = RunFolder(cluster.hidden[-1] / name), list[str]()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tune.run", *asked_of(cluster, data_dir, name, *more)],
            cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._ear = threading.Thread(target=self._listen)
        self._ear.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                self.lines.append(line)

    def told(self, words: str) -> int:
        return sum(words in line for line in self.lines)

    def code(self, within_s: float = 60) -> int:
        code = self.process.wait(within_s)
        self._ear.join()
        return code


def until(happened: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def trials_of(cluster: Cluster) -> dict[str, psutil.Process]:
    """The process of the trial on each node that runs one."""
    found = {}
    for process in cluster.processes():
        with suppress(psutil.Error):
            if search_process.TRIAL.match(process.cmdline()[0]):
                found[process.environ()["NODE"]] = process
    return found
