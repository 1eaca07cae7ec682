"""Weights & Biases for the search and the final training, through `wandb_logger` in a process of its own."""

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
from tune.settings import Settings, WandbMode

LOGGED = (*(name for name in EPOCHS.names if name != "trial_id"), "peak_memory_mb")
"""The metrics logged per epoch; `batch_loss` is logged per step besides."""

BATCH_LOSS_POINTS = 100
"""Points of `batch_loss` per epoch, at most; each is the mean over the steps that it stands for."""

END_TIMEOUT_S = 60
"""How long a command waits for uploads at its end. The logger itself gives up earlier, cleanly."""

INTERRUPTED_TIMEOUT_S = 4
"""The same after Ctrl-C, when the user wants the prompt back."""

KEPT_ID = "wandb.json"

SAID_AFTER_S = 3
"""After this long, the user is told what the wait is for."""


class Tracker:
    """The interface of a tracker. This one does nothing, for when W&B is disabled."""

    def start(self, run: str, name: str, job_type: str, config: Mapping[str, Any]) -> None:
        """Starts a run, or continues it if its id is known. `config` is flat."""

    def log(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Logs points of its metrics, as `epoch_rows` makes them."""

    def summarise(self, run: str, values: Mapping[str, Any]) -> None:
        """Sets values of the run's summary."""

    def log_artifact(self, run: str, name: str, kind: str, files: Sequence[Path]) -> None:
        """Uploads complete files as an artifact of the run."""

    def end(self, run: str, tag: str) -> None:
        """Ends a run, with a tag that says how it ended."""

    def remember(self, run: str, folder: RunFolder) -> None:
        """Stores the id of a run in the folder, for `recall`."""


class Wandb(Tracker):
    """Forwards everything to the logger. Before `close`, nothing here waits for W&B or fails because of it."""

    def __init__(self, mode: WandbMode, settings: Settings, folder: RunFolder) -> None:
        command = [sys.executable, "-P", str(Path(__file__).with_name("wandb_logger.py"))]
        self._logger = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
        )
        group = settings.name[:128]  # W&B's limit
        self._send(mode=mode, project=settings.wandb_project, group=group, dir=str(folder.path))

    def _send(self, **message: Any) -> None:
        assert self._logger.stdin is not None
        with suppress(OSError, ValueError):  # it has died, which `close` reports
            self._logger.stdin.write(json.dumps(message) + "\n")
            self._logger.stdin.flush()

    def start(self, run: str, name: str, job_type: str, config: Mapping[str, Any]) -> None:
        self._send(do="start", run=run, name=name, job_type=job_type, config=dict(config))

    def log(self, run: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._send(do="log", run=run, rows=list(rows))

    def summarise(self, run: str, values: Mapping[str, Any]) -> None:
        self._send(do="summarise", run=run, values=dict(values))

    def log_artifact(self, run: str, name: str, kind: str, files: Sequence[Path]) -> None:
        self._send(
            do="log_artifact", run=run, name=plain(name), kind=kind, files=[str(file.absolute()) for file in files]
        )

    def end(self, run: str, tag: str) -> None:
        self._send(do="end", run=run, tag=tag)

    def remember(self, run: str, folder: RunFolder) -> None:
        folder.write_json(KEPT_ID, {"id": run})

    def close(self, say: Callable[[str], None], interrupted: Callable[[], bool]) -> str:
        """Waits for the logger, at most a minute, or seconds after Ctrl-C. Returns what went wrong, if anything."""
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
                    say("Waiting for W&B to upload the rest, a minute at most; Ctrl-C ends the wait.")
                    told = True
        except KeyboardInterrupt:  # during the wait, when all else is done
            late = True
        if late:
            self._logger.kill()  # wandb-core ends with it
        code = self._logger.wait()
        with self._logger.stdout as output:
            if late:
                return "W&B did not upload everything in time"
            problem = output.readline().strip()
        return problem or (f"W&B's process died (exit code {code})" if code else "")


@contextmanager
def opened(
    mode: WandbMode,
    settings: Settings,
    folder: RunFolder,
    say: Callable[[str], None],
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Tracker]:
    """A tracker for the block. Afterwards `say` reports what W&B lacks, within a bounded time whatever W&B does."""
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
    """The command that uploads what is in a run's folder: offline runs, and online ones that are incomplete."""
    return f"wandb sync {shlex.quote(short(folder.path))}/wandb/*run-*"


def run_ids(folder: RunFolder) -> Callable[[str], str]:
    """A function from names to W&B run ids. They differ between searches of the same name started at other times."""
    begun = folder.read_json("experiment.json").get("started")
    own = hashlib.sha256(f"{folder.name} {begun}".encode()).hexdigest()[:6]
    return lambda what: f"{plain(folder.name)[:80]}-{what}-{own}"


def recall(folder: RunFolder) -> str | None:
    """The id that `remember` stored, if any."""
    return str(folder.read_json(KEPT_ID)["id"]) if (folder.path / KEPT_ID).is_file() else None


def plain(name: str) -> str:
    """A name that W&B accepts for ids and artifacts."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def epoch_rows(metrics: Mapping[str, Any], losses: Sequence[float], steps: int) -> list[dict[str, Any]]:
    """The points of an epoch of `steps` steps: `batch_loss` over steps, and the known metrics over `epoch`."""
    before = (metrics["epoch"] - 1) * steps
    points = [
        {"batch_loss": loss, "step": before + steps * point // len(losses)} for point, loss in enumerate(losses, 1)
    ]
    return [*points, {name: metrics[name] for name in LOGGED if metrics.get(name) is not None}]


def thinned(values: Sequence[float], points: int) -> list[float]:
    """Reduces values to at most `points`, by averaging neighbours."""
    points = min(points, len(values))
    edges = [len(values) * i // points for i in range(points + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
