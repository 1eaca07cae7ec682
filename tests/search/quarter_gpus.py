"""A search of trials that only wait, on a Ray with a GPU that exists on paper: python -m tests.search.quarter_gpus ...

Prints JSON: [when it began, when it ended] of each trial. The arguments are tune.run's.
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
from tune.search.devices import Machine
from tune.search.kept import InFolder
from tune.search.trial import Task, metrics
from tune.training.loop import EpochResult

CORES = 8


class Waits(tune.Trainable):  # type: ignore[misc]  # Ray ships no types for it
    """Takes the place of a trial: a GPU that is not there can not train."""

    def setup(self, config: dict[str, Any], task: Task) -> None:
        assert isinstance(task.checkpoints, InFolder)
        self.log = task.checkpoints.path.parent / "times"

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        began = time.time()
        time.sleep(0.4)
        with self.log.open("a") as file:
            file.write(json.dumps([began, time.time()]) + "\n")
        training: Any = SimpleNamespace(wall_s=0.4)
        result = EpochResult(1, 1.0, 1.0, 1.0, 1.0, 0.1, 0.4, 1.0, 1.0, 1, False, (1.0,), training)
        return {**metrics(result), "done": True, "checkpoint_due": False, "checkpoint_error": ""}


def main(arguments: list[str]) -> int:
    ray.init(num_cpus=CORES, num_gpus=1, include_dashboard=False, log_to_driver=False)
    launch.Trial = Waits  # type: ignore[assignment, misc]
    devices.this_machine = lambda: Machine(CORES, 1, ("a cpu", "a gpu"))
    code = cli.run(run.prepare, arguments)
    storage = Path(arguments[arguments.index("--storage") + 1])
    (log,) = storage.glob("*/times")
    print(json.dumps([json.loads(line) for line in log.read_text().splitlines()]))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
