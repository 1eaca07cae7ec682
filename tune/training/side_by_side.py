"""Runs several trainings at once, each in its own process, to measure how fast they are together."""

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


def training_command(config: TrainConfig, device: str) -> list[str]:
    """The command that trains a configuration the way a trial does (`throughput`)."""
    return [
        sys.executable,
        "-m",
        "tune.training.throughput",
        json.dumps({"config": config.to_dict(), "device": device}),
    ]


class CannotMeasure(Exception):
    """A measured process failed; the message is one line that says why."""


class TrainingProcesses:
    """Processes that train at the same time; more are started as needed."""

    def __init__(self, command: Sequence[str], errors: IO[bytes]) -> None:
        """`command` must speak the protocol of `throughput`; its stderr goes to `errors`."""
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
        """Warms up and trains in `trials` processes at once; returns their answers. CannotMeasure if one fails."""
        path = os.pathsep.join(filter(None, [str(Path(tune.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        while len(self._processes) < trials:
            self._processes.append(
                subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    env={**os.environ, "PYTHONPATH": path},
                    start_new_session=True,  # Ctrl-C is for the search, which ends them
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
        except (BrokenPipeError, ValueError) as error:  # an empty line means that the process has ended
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            raise CannotMeasure(said[-1] if said else "it ended without a message") from error
        return answers
