"""Ray for the length of a search, and how the user ends one."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray._private import ray_constants
from rich.console import Console

from tune.files import Unwritable
from tune.results import Status
from tune.search import guard
from tune.search.listener import Listener
from tune.settings import Method, Settings

SHOW_CURSOR = "\x1b[?25h"

MARK = "TUNE_SEARCH"
"""Environment variable by which the guard knows what belongs to the search."""


class RayDied(BaseException):
    """Ray's own processes have ended. Its text says which.

    No Exception: at one of those Tune would first end its trials in order, and so wait for what is dead.
    """


class Ground(Listener):
    """Sees to what all trials stand on, before one of them is blamed: to be the first of the listeners.

    Raises RayDied when it has (the trials would run on for a quarter of a minute, and then Ray aborts the process),
    Unwritable when a trial could not be kept, and KeyboardInterrupt when the user has had enough (Tune's own ways to
    end wait for the epochs that run).
    """

    interrupted = False
    """Of the class: whoever listens."""

    def epoch_ended(self, trial_id: str, metrics: dict[str, Any]) -> None:
        if metrics["not_kept"]:
            raise Unwritable(metrics["not_kept"])

    def trial_died(self, trial_id: str, error: str) -> None:
        self.tick()

    def trial_ended(self, trial_id: str, status: Status, error: str | None) -> None:
        if status == "failed":
            self.tick()

    def tick(self) -> None:
        if Ground.interrupted:
            raise KeyboardInterrupt
        node = ray._private.worker._global_node
        for kind, process in node.dead_processes() if node is not None else ():
            if kind in (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER):
                raise RayDied(f"Ray's {kind} has died (exit code {process.returncode})")


@contextmanager
def interruptible(last_words: str) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the search with what it has, the second ends the process with `last_words`.

    To be entered when Ray has started: it sets a handler of its own for SIGTERM.
    """
    Ground.interrupted = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def interrupt(number: int, frame: object) -> None:
        if Ground.interrupted:
            # Not print: it may be what was interrupted. The cursor is hidden while a table is shown.
            os.write(2, (SHOW_CURSOR * sys.stderr.isatty() + last_words + "\n").encode())
            os._exit(130)  # the result folder is whole at any moment, and the guard ends Ray
        Ground.interrupted = True

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def started_ray(settings: Settings, console: Console) -> Iterator[None]:
    """A local Ray for the search, ended with it; a Ray that runs already in this process is used and left alone."""
    os.environ |= {
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours ends trials and loggers in order
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a CSV, a JSON and a TensorBoard file a trial; we have Parquet
        "TUNE_GLOBAL_CHECKPOINT_S": str(2**31),  # its own state, from which nothing is restored
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the view says it in a line; the traceback lies in ray/
        "RAY_AIR_NEW_OUTPUT": "0",
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",  # all of it listens on loopback, as it does on a Mac
    }
    ray_constants.ENABLE_RAY_CLUSTER = False  # the same for this process, which has read the variable already
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # it repeats as an error what the summary counts
    if ray.is_initialized():
        yield
        return
    mark = f"{MARK}={uuid.uuid4()}"
    # In a session of its own: a Ctrl-C in the terminal is not for it.
    command = [sys.executable, "-I", "-S", guard.__file__, mark]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    # HyperOpt takes a second to import, Ray three to start. HyperOpt has the thread, since Ray's processes end with the
    # thread that started them.
    imports = threading.Thread(target=_import_sampler, args=[settings.search])
    imports.start()
    os.environ[MARK] = mark.partition("=")[2]
    try:
        context = ray.init(
            address="local",  # RAY_ADDRESS, or a cluster that someone started here, is not what was asked for
            include_dashboard=settings.dashboard,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        imports.join()
        if settings.dashboard:
            console.print(
                f"Ray dashboard: http://{context.dashboard_url} (its token: `ray get-auth-token`)", highlight=False
            )
        yield
    finally:
        del os.environ[MARK]
        ray.shutdown()
        watcher.communicate()  # until nothing is left


def _import_sampler(method: Method) -> None:
    with suppress(Exception):  # the import that follows says it where it can be heard
        importlib.import_module("tune.search.optuna_tpe" if method == "optuna" else "tune.search.hyperopt_tpe")
