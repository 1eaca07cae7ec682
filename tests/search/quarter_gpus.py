"""A search of trials that only wait, on a Ray with a GPU that exists on paper: python -m tests.search.quarter_gpus ...

Prints JSON: for each trial how many it saw run at its end, itself included. The arguments are tune.run's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray
from ray import tune

from tune import cli, run
from tune.search import devices, launch
from tune.search.checkpoint_store import FolderStore
from tune.search.devices import Machine
from tune.search.trial import Task, metrics
from tune.training.loop import EpochResult

CORES = 8


class Waits(tune.Trainable):  # type: ignore[misc]  # Ray ships no types for it
    """Takes the place of a trial: a GPU that is not there cannot train.

    The first four wait for each other, since processes take their time to start.
    """

    def setup(self, config: dict[str, Any], task: Task) -> None:
        assert isinstance(task.checkpoints, FolderStore)
        self.here = task.checkpoints.path.parent
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.mark = self.here / f"{new_config['trial_id']}.runs"
        return True

    def step(self) -> dict[str, Any]:
        self.mark.touch()
        deadline = time.monotonic() + 60
        while self.running() < 4 and not (self.here / "four").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        (self.here / "four").touch()
        time.sleep(0.3)
        with (self.here / "seen").open("a") as file:
            file.write(f"{self.running()}\n")
        self.mark.unlink()
        training: Any = SimpleNamespace(wall_s=0.4)
        result = EpochResult(1, 1.0, 1.0, 1.0, 1.0, None, 0.1, 0.4, 1.0, 1.0, 1, False, (1.0,), training)
        return {**metrics(result), "done": True, "checkpoint_due": False, "checkpoint_error": "", "checkpoint_late": ""}

    def running(self) -> int:
        return len(list(self.here.glob("*.runs")))


def main(arguments: list[str]) -> int:
    ray.init(num_cpus=CORES, num_gpus=1, include_dashboard=False, log_to_driver=False)
    launch.Trial = Waits  # type: ignore[assignment, misc]
    devices.this_machine = lambda: Machine(CORES, 1, ("a cpu", "a gpu"))
    code = cli.run(run.prepare, arguments)
    storage = Path(arguments[arguments.index("--storage") + 1])
    (seen,) = storage.glob("*/seen")
    print(json.dumps([int(line) for line in seen.read_text().splitlines()]))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
