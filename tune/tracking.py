"""Weights & Biases for the search and the final training. `wandb_logger` talks to it, in a process of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tune.files import short
from tune.results import EPOCHS, RunFolder
from tune.settings import Settings
from tune.wandb_mode import Mode

LOGGED = (*(name for name in EPOCHS.names if name != "trial_id"), "peak_memory_mb")
"""What a run shows over its epochs; `batch_loss` comes beside it, over steps."""

BATCH_LOSS_POINTS = 100
"""At most so many points an epoch go to the trackers; each is the mean of the steps it stands for."""

END_TIMEOUT_S = 60
"""How long the end of a command waits for uploads. The logger itself gives up earlier, in order."""

INTERRUPTED_TIMEOUT_S = 4
"""The same when the user waits for the prompt."""

KEPT_ID = "wandb.json"

SAID_AFTER_S = 3
"""Who waits for longer is told for what."""


class Tracker:
    """What is told of runs; this one does nothing with it, as where W&B is disabled."""

    def start(self, run: str, name: str, job_type: str, config: Mapping[str, Any]) -> None:
        """A run begins, or goes on if its id is known. `config` is flat."""

    def log(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Points of its metrics, as `epoch_rows` makes them."""

    def summarise(self, run: str, values: Mapping[str, Any]) -> None:
        """What is to be said of the whole run."""

    def keep(self, run: str, name: str, kind: str, files: Sequence[Path]) -> None:
        """Files that are whole, as an artifact of the run."""

    def end(self, run: str, tag: str) -> None:
        """A run is over; the tag says how."""

    def remember(self, run: str, folder: RunFolder) -> None:
        """Writes the id of a run to the folder, where `recall` finds it."""


class Wandb(Tracker):
    """Passes it on to the logger. Nothing here waits for W&B, or fails because of it, before `close`."""

    def __init__(self, mode: Mode, settings: Settings, folder: RunFolder) -> None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("wandb_logger.py"))]
        self._logger = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal is not for it
        )
        group = settings.name[:128]  # W&B takes no longer one
        self._send(mode=mode, project=settings.wandb_project, group=group, dir=str(folder.path))

    def _send(self, **message: Any) -> None:
        assert self._logger.stdin is not None
        with suppress(OSError, ValueError):  # it has died, which `close` says
            self._logger.stdin.write(json.dumps(message) + "\n")
            self._logger.stdin.flush()

    def start(self, run: str, name: str, job_type: str, config: Mapping[str, Any]) -> None:
        self._send(do="start", run=run, name=name, job_type=job_type, config=dict(config))

    def log(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._send(do="log", run=run, rows=list(rows))

    def summarise(self, run: str, values: Mapping[str, Any]) -> None:
        self._send(do="summarise", run=run, values=dict(values))

    def keep(self, run: str, name: str, kind: str, files: Sequence[Path]) -> None:
        self._send(do="keep", run=run, name=plain(name), kind=kind, files=[str(file.absolute()) for file in files])

    def end(self, run: str, tag: str) -> None:
        self._send(do="end", run=run, tag=tag)

    def remember(self, run: str, folder: RunFolder) -> None:
        folder.write_json(KEPT_ID, {"id": run})

    def close(self, say: Callable[[str], None], interrupted: Callable[[], bool]) -> str:
        """Waits for the logger, a minute at most; seconds if the user will not wait. Returns what went wrong."""
        assert self._logger.stdin is not None
        assert self._logger.stdout is not None
        with suppress(OSError):
            self._logger.stdin.close()
        began, told, late = time.monotonic(), False, False
        try:
            while self._logger.poll() is None and not late:
                with suppress(subprocess.TimeoutExpired):
                    self._logger.wait(0.1)
                waited = time.monotonic() - began
                late = waited > (INTERRUPTED_TIMEOUT_S if interrupted() else END_TIMEOUT_S)
                if waited > SAID_AFTER_S and not told and not interrupted():
                    say("Waiting for W&B to take the rest, a minute at most; Ctrl-C ends the wait.")
                    told = True
        except KeyboardInterrupt:  # of the wait, when all else is done
            late = True
        if late:
            self._logger.kill()  # and wandb-core goes with it
        code = self._logger.wait()
        with self._logger.stdout as output:
            if late:
                return "W&B has not taken all in time"
            problem = output.readline().strip()
        return problem or (f"W&B's process died (exit code {code})" if code else "")


@contextmanager
def opened(
    mode: Mode,
    settings: Settings,
    folder: RunFolder,
    say: Callable[[str], None],
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Tracker]:
    """A tracker for the block; when it has ended, `say` hears what W&B lacks. Bounded in time, whatever W&B does."""
    if mode == "disabled":
        yield Tracker()
        return
    tracker, cut_off = Wandb(mode, settings, folder), False
    try:
        yield tracker
    except KeyboardInterrupt:
        cut_off = True
        raise
    finally:
        if problem := tracker.close(say, lambda: cut_off or interrupted()):
            say(f"Warning: {problem}. What it lacks: {sync_command(folder)}")


def sync_command(folder: RunFolder) -> str:
    """What to type to upload what lies in a run's folder: offline runs, and online ones that lack something."""
    return f"wandb sync {shlex.quote(short(folder.path))}/wandb/*run-*"


def run_ids(folder: RunFolder) -> Callable[[str], str]:
    """Gives W&B's runs their ids. A search of the same name that was begun at another moment has others."""
    begun = folder.read_json("experiment.json").get("started")
    own = hashlib.sha256(f"{folder.name} {begun}".encode()).hexdigest()[:6]
    return lambda what: f"{plain(folder.name)[:80]}-{what}-{own}"


def recall(folder: RunFolder) -> str | None:
    """The id that `remember` has written, if any."""
    return str(folder.read_json(KEPT_ID)["id"]) if (folder.path / KEPT_ID).is_file() else None


def plain(name: str) -> str:
    """A name as W&B takes it for ids and artifacts."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def epoch_rows(metrics: Mapping[str, Any], losses: Sequence[float], steps: int) -> list[dict[str, Any]]:
    """The points of an epoch of so many steps: `batch_loss` over steps, all else, where it is known, over `epoch`."""
    before = (metrics["epoch"] - 1) * steps
    points = [
        {"batch_loss": loss, "step": before + steps * point // len(losses)} for point, loss in enumerate(losses, 1)
    ]
    return [*points, {name: metrics[name] for name in LOGGED if metrics.get(name) is not None}]


def thinned(values: Sequence[float], points: int) -> list[float]:
    """At most `points` means over neighbouring values."""
    points = min(points, len(values))
    edges = [len(values) * i // points for i in range(points + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
