"""The process that talks to W&B for a command, all its runs in one. `tracking` starts it as a script.

It reads one message a line, as JSON, and ends with its input; of what goes wrong it says the first in a line on its
output. W&B waits for its server here, for minutes if it has to, where neither a training nor the end of the command
waits with it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import wandb

INIT_TIMEOUT_S = 20
"""How long the server may take to accept a run; then this one and those that follow are kept offline."""

FINISH_TIMEOUT_S = 30
"""How long the rest of a run may take to be uploaded; the file here then has what the server lacks."""

END_TIMEOUT_S = 45
"""How long all of them may take when the command has ended, whatever W&B does."""

SETTINGS = wandb.Settings(
    silent=True,
    console="off",
    init_timeout=INIT_TIMEOUT_S,
    finish_timeout=FINISH_TIMEOUT_S,
    finish_timeout_raises=True,
    # Of this process, which is nobody's training.
    x_disable_stats=True,
    x_disable_meta=True,
    x_disable_machine_info=True,
    x_save_requirements=False,
    disable_git=True,
    disable_code=True,
)

SAID = threading.Lock()
"""Held from the first problem on."""

MAX_SAID = 1000
"""So many characters of it."""

OVER_EPOCHS = ("train_loss", "val_loss", "train_acc", "val_acc", "val_robust_acc", "lr")
AXES = {"batch_loss": "step"} | dict.fromkeys(OVER_EPOCHS, "epoch")
"""What each of the report's metrics is drawn over."""


class Runs:
    """The open runs, by id, and those that are being ended."""

    def __init__(self, *, mode: Literal["online", "offline"], **init: Any) -> None:
        self._mode = mode
        self._init = init
        self._open: dict[str, wandb.Run] = {}
        self._ending: list[threading.Thread] = []

    def start(self, run: str, **init: Any) -> None:
        """Begins a run, or goes on with one of that id; leaves one alone that is open."""
        if run not in self._open:
            self._open[run] = opened = self._opened(run, init)
            for axis in set(AXES.values()):
                opened.define_metric(axis)
            for metric, axis in AXES.items():
                opened.define_metric(metric, step_metric=axis)

    def _opened(self, run: str, init: dict[str, Any]) -> wandb.Run:
        # Of the same id as before a crash: W&B goes on with that run, and `wandb sync` joins their offline files.
        given: dict[str, Any] = {"id": run, "resume": "allow", "reinit": "create_new", "allow_val_change": True}
        init = given | {"settings": SETTINGS} | self._init | init
        try:
            return wandb.init(mode=self._mode, **init)
        except Exception as error:  # no network, or a key that is none: its errors have no common class
            if self._mode == "offline":
                raise
            say(f"W&B could not be reached ({error})")
            self._mode = "offline"
            # Of the id itself W&B holds that it is in use.
            return wandb.init(mode=self._mode, **init | {"id": f"{run}-offline"})

    def log(self, run: str, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self._open[run].log(row)

    def summarise(self, run: str, values: dict[str, Any]) -> None:
        self._open[run].summary.update(values)

    def keep(self, run: str, name: str, kind: str, files: list[str]) -> None:
        artifact = wandb.Artifact(name, type=kind)
        for file in files:
            # From where it lies: else W&B copies it to the user's home, and keeps it there.
            artifact.add_file(file, policy="immutable", skip_cache=True)
        self._open[run].log_artifact(artifact)

    def end(self, run: str, tag: str) -> None:
        """Ends a run beside the others: its upload may take a while."""
        opened = self._open.pop(run)
        opened.tags = (tag,)  # not another beside that of an earlier, interrupted part
        self._ending.append(threading.Thread(target=finish, args=[opened], daemon=True))
        self._ending[-1].start()

    def __contains__(self, run: str) -> bool:
        return run in self._open

    def end_all(self) -> None:
        """For when the command has ended: what is open then was interrupted."""
        for run in list(self._open):
            self.end(run, "interrupted")
        for thread in self._ending:
            thread.join()
        wandb.teardown()  # its own process ends before this one


def finish(run: wandb.Run) -> None:
    try:
        run.finish()
    except TimeoutError:
        say(f"W&B has not taken all of {run.id} in {FINISH_TIMEOUT_S} s")
    except Exception as error:
        say(f"W&B failed with {error!r}")


def say(problem: str) -> None:
    """Says the first problem. The command reads only that, at its end; until then a full pipe would block for good."""
    if SAID.acquire(blocking=False):  # kept
        with suppress(OSError):  # the command may be gone
            print(" ".join(problem.split())[:MAX_SAID], flush=True)


def work(messages: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    """Does what the messages say, until there is None."""
    first = messages.get()
    if first is None:
        return
    runs = Runs(**first)
    does: dict[str, Callable[..., None]] = {
        "start": runs.start, "log": runs.log, "summarise": runs.summarise, "keep": runs.keep, "end": runs.end,
    }  # fmt: skip
    while (message := messages.get()) is not None:
        do = message.pop("do")
        if do != "start" and message["run"] not in runs:
            continue  # it has ended, or could not be started, which was said
        try:
            does[do](**message)
        except Exception as error:  # of one run; the others go on
            say(f"W&B failed with {error!r}")
    runs.end_all()


def main() -> None:
    """Reads at once whatever comes, so that the command never waits for W&B."""
    messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    worker = threading.Thread(target=work, args=[messages], daemon=True)
    worker.start()
    for line in sys.stdin:
        messages.put(json.loads(line))
    messages.put(None)
    worker.join(END_TIMEOUT_S)
    if worker.is_alive():
        say("W&B did not end in time")
    # Without W&B's own wait at the end of a process, which might have no limit.
    os._exit(0)


if __name__ == "__main__":
    main()
