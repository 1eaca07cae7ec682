"""The process that talks to W&B for a command and all its runs. `tracking` starts it as a script.

It reads one JSON message per line, and ends with its input. The first problem is printed as a line on its output. Here
W&B may wait for its server for minutes without holding up a training or the end of the command.
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
"""How long the server may take to accept a run; after that, this run and all later ones are kept offline."""

FINISH_TIMEOUT_S = 30
"""How long uploading the rest of a run may take; after that, the local file has what the server lacks."""

END_TIMEOUT_S = 45
"""How long all of them together may take once the command has ended, whatever W&B does."""

SETTINGS = wandb.Settings(
    silent=True,
    console="off",
    init_timeout=INIT_TIMEOUT_S,
    finish_timeout=FINISH_TIMEOUT_S,
    finish_timeout_raises=True,
    # About this process, which trains nothing.
    x_disable_stats=True,
    x_disable_meta=True,
    x_disable_machine_info=True,
    x_save_requirements=False,
    disable_git=True,
    disable_code=True,
)

SAID = threading.Lock()
"""Acquired by the first problem, and never released."""

MAX_SAID = 1000
"""Characters of it to print, at most."""

OVER_EPOCHS = ("train_loss", "val_loss", "train_acc", "val_acc", "val_robust_acc", "lr")
AXES = {"batch_loss": "step"} | dict.fromkeys(OVER_EPOCHS, "epoch")
"""The x-axis of each metric's chart in W&B."""


class Runs:
    """The open runs by id, and the threads that are ending others."""

    def __init__(self, *, mode: Literal["online", "offline"], **init: Any) -> None:
        self._mode = mode
        self._init = init
        self._open: dict[str, wandb.Run] = {}
        self._ending: list[threading.Thread] = []

    def start(self, run: str, **init: Any) -> None:
        """Starts a run, or continues one of that id. Does nothing if it is open."""
        if run not in self._open:
            self._open[run] = opened = self._opened(run, init)
            for axis in set(AXES.values()):
                opened.define_metric(axis)
            for metric, axis in AXES.items():
                opened.define_metric(metric, step_metric=axis)

    def _opened(self, run: str, init: dict[str, Any]) -> wandb.Run:
        # With the same id as before a crash, W&B continues the run, and `wandb sync` joins the offline files.
        given: dict[str, Any] = {"id": run, "resume": "allow", "reinit": "create_new", "allow_val_change": True}
        init = given | {"settings": SETTINGS} | self._init | init
        try:
            return wandb.init(mode=self._mode, **init)
        except Exception as error:  # no network, or an invalid key: W&B's errors have no common class
            if self._mode == "offline":
                raise
            say(f"W&B could not be reached ({error})")
            self._mode = "offline"
            # W&B takes the id itself to be in use.
            return wandb.init(mode=self._mode, **init | {"id": f"{run}-offline"})

    def log(self, run: str, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self._open[run].log(row)

    def summarise(self, run: str, values: dict[str, Any]) -> None:
        self._open[run].summary.update(values)

    def log_artifact(self, run: str, name: str, kind: str, files: list[str]) -> None:
        artifact = wandb.Artifact(name, type=kind)
        for file in files:
            # In place, or W&B copies it to the user's home and keeps it there.
            artifact.add_file(file, policy="immutable", skip_cache=True)
        self._open[run].log_artifact(artifact)

    def end(self, run: str, tag: str) -> None:
        """Ends a run in a thread, since its upload may take a while."""
        opened = self._open.pop(run)
        opened.tags = (tag,)  # replaces the tag of an earlier, interrupted part
        self._ending.append(threading.Thread(target=finish, args=[opened], daemon=True))
        self._ending[-1].start()

    def __contains__(self, run: str) -> bool:
        return run in self._open

    def end_all(self) -> None:
        """Called when the command has ended; runs still open were interrupted."""
        for run in list(self._open):
            self.end(run, "interrupted")
        for thread in self._ending:
            thread.join()
        wandb.teardown()  # ends W&B's own process before this one


def finish(run: wandb.Run) -> None:
    try:
        run.finish()
    except TimeoutError:
        say(f"W&B did not upload all of {run.id} in {FINISH_TIMEOUT_S} s")
    except Exception as error:
        say(f"W&B failed with {error!r}")


def say(problem: str) -> None:
    """Prints the first problem only. The command reads it at its end; until then a full pipe would block for ever."""
    if SAID.acquire(blocking=False):  # never released
        with suppress(OSError):  # the command may have gone
            print(" ".join(problem.split())[:MAX_SAID], flush=True)


def work(messages: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    """Carries out the messages until None arrives."""
    first = messages.get()
    if first is None:
        return
    runs = Runs(**first)
    does: dict[str, Callable[..., None]] = {
        "start": runs.start,
        "log": runs.log,
        "summarise": runs.summarise,
        "log_artifact": runs.log_artifact,
        "end": runs.end,
    }
    while (message := messages.get()) is not None:
        do = message.pop("do")
        if do != "start" and message["run"] not in runs:
            continue  # it has ended, or could not be started, which was reported
        try:
            does[do](**message)
        except Exception as error:  # in one run; the others go on
            say(f"W&B failed with {error!r}")
    runs.end_all()


def main() -> None:
    """Reads messages as they come, so that the command never waits for W&B."""
    messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    worker = threading.Thread(target=work, args=[messages], daemon=True)
    worker.start()
    for line in sys.stdin:
        messages.put(json.loads(line))
    messages.put(None)
    worker.join(END_TIMEOUT_S)
    if worker.is_alive():
        say("W&B did not end in time")
    # Skips W&B's own wait at the exit of a process, which might be unlimited.
    os._exit(0)


if __name__ == "__main__":
    main()
