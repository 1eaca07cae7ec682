"""Trainings side by side, each in a process of its own, told when to begin and asked how fast they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import tune
from tune.training.config import TrainConfig


def of_ours(config: TrainConfig, device: str) -> list[str]:
    """The command of a process that trains a configuration as a trial does."""
    return [
        sys.executable,
        "-m",
        "tune.training.throughput",
        json.dumps({"config": config.to_dict(), "device": device}),
    ]


class CannotMeasure(Exception):
    """A process that was to be measured has failed. Its text says why, on a line."""


class Trials:
    """Processes that train side by side, as many as have been asked for so far."""

    def __init__(self, command: Sequence[str], errors: IO[bytes]) -> None:
        """`command` talks as `throughput` does; what it says on stderr goes to `errors`."""
        self._command = command
        self._processes: list[subprocess.Popen[str]] = []
        self._errors = errors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.communicate()

    def run(self, trials: int, threads: int, seconds: float) -> list[dict[str, Any]]:
        """Each one's answer. All warm up before any is timed. CannotMeasure if one of them fails."""
        path = os.pathsep.join(filter(None, [str(Path(tune.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        while len(self._processes) < trials:
            self._processes.append(
                subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    env={**os.environ, "PYTHONPATH": path},
                    start_new_session=True,  # a Ctrl-C is for the search, which ends them
                    text=True,
                )
            )
        self._ask(trials, {"threads": threads})
        return self._ask(trials, {"seconds": seconds})

    def _ask(self, trials: int, what: dict[str, Any]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        try:
            for process in self._processes[:trials]:
                assert process.stdin is not None
                process.stdin.write(json.dumps(what) + "\n")
                process.stdin.flush()
            for process in self._processes[:trials]:
                assert process.stdout is not None
                answers.append(json.loads(process.stdout.readline()))
        except (BrokenPipeError, ValueError) as error:  # an empty line is its end
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            raise CannotMeasure(said[-1] if said else "it ended without a word") from error
        return answers
