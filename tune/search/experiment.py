"""experiment.json: the settings of a search, its environment, and its duration, so that budgets survive a crash."""

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
"""How often the duration is recorded."""


class Experiment(Listener):
    """Writes the file and keeps it up to date."""

    def __init__(self, folder: RunFolder, plan: Plan, before: dict[str, Any], began: float) -> None:
        """`before`: what is kept of earlier sessions of the search; `began` is on the monotonic clock."""
        self._folder = folder
        self._about = _about(plan) | before
        self._began = began
        self._before = self._about["spent_s"]
        self._stopped: float | None = None

    def left(self, budget_s: float | None) -> float | None:
        """What is left of a time budget, in seconds; at least 1, as Ray takes 0 for no budget."""
        return None if budget_s is None else max(1.0, budget_s - self._seconds())

    def stop(self) -> None:
        """Stops the clock at the end of the search, as reruns of --confirm do not count towards its budget."""
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
    """The content of experiment.json at the start of a search."""
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
    """The commit of this checkout, with `-dirty` if files were changed; None if this is not a checkout."""
    try:
        here = Path(__file__).parent
        run = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True)
        run(["git", "ls-files", "--error-unmatch", Path(__file__).name])  # fails in another project's checkout
        done = run(["git", "describe", "--always", "--abbrev=40", "--dirty"])
    except (OSError, subprocess.CalledProcessError):
        return None
    return str(done.stdout).strip()
