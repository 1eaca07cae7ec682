"""experiment.json: what a search is, on what it runs, and how long it has run, so that a budget outlives a crash."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from tune.results import RunFolder, now
from tune.search.listener import Listener
from tune.search.plan import Plan

PACKAGES = ("torch", "torchvision", "ray", "hyperopt", "optuna", "wandb", "pyarrow", "numpy")

WRITE_EVERY_S = 10.0
"""How often the time that a search has run is noted."""


class Experiment(Listener):
    """Keeps the file."""

    def __init__(self, folder: RunFolder, plan: Plan, before: dict[str, Any], began: float) -> None:
        """`before`: what stays of earlier parts of the search; `began` on the monotonic clock."""
        self._folder = folder
        self._about = _about(plan) | before
        self._began = began
        self._before = self._about["spent_s"]
        self._stopped: float | None = None

    def left(self, budget_s: float | None) -> float | None:
        """What is left of a time budget, in seconds; at least one, since Ray takes 0 for none."""
        return None if budget_s is None else max(1.0, budget_s - self._seconds())

    def stop(self) -> None:
        """The search itself has ended; the reruns of --confirm are not in its budget."""
        self._stopped = self._seconds()

    def write(self, **more: Any) -> None:
        self._about |= {"spent_s": self._seconds(), **more}
        self._folder.write_json("experiment.json", self._about)

    def tick(self) -> None:
        if self._seconds() - self._about["spent_s"] > WRITE_EVERY_S:
            self.write()

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began if self._stopped is None else self._stopped


def _about(plan: Plan) -> dict[str, Any]:
    """What experiment.json tells of a search, at its start."""
    python = {"python": platform.python_version()}
    return {
        "settings": plan.settings.to_dict(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES} | python,
        "git_commit": _git_commit(),
        "devices": list(plan.machine.names),
        "data_fingerprint": plan.data_fingerprint,
        "weights_sha256": plan.weights_sha256,
        "calibration": None if plan.calibration is None else plan.calibration.to_dict(),
        "started": now(),
        "ended": None,
        "spent_s": 0.0,
        "repeats_refused": 0,
        "used_up": False,
    }


def _git_commit() -> str | None:
    """The commit of this project's checkout, where there is one; `-dirty` if files were changed since."""
    try:
        here = Path(__file__).parent
        run = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True)
        run(["git", "ls-files", "--error-unmatch", Path(__file__).name])  # not some other project's checkout
        done = run(["git", "describe", "--always", "--abbrev=40", "--dirty"])
    except (OSError, subprocess.CalledProcessError):
        return None
    return str(done.stdout).strip()
