"""Ray for the length of a search."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.utils import get_dashboard_dependency_error
from rich.console import Console

from tune.search import cluster, guard
from tune.search.watchdog import RayDied, death, sigterm_kept
from tune.settings import Method, Settings

MARK = "TUNE_SEARCH"
"""Environment variable by which the guard knows what belongs to the search."""


@contextmanager
def started_ray(settings: Settings, console: Console, last_words: str) -> Iterator[None]:
    """A Ray for the search: one of its own, ended with it, or the cluster that it was told of.

    A Ray that runs already in this process is used and left alone. If this process is cut off, by a kill or by Ray's
    own core, the guard of an own Ray says the last words.
    """
    _set_up()
    if ray.is_initialized():
        yield
    elif settings.address is not None:
        with cluster.joined(settings.address) as context, _told_of_its_death():
            _tell_dashboard(settings, context, console)
            yield
    else:
        with _own_ray(settings, console, last_words):
            yield


@contextmanager
def _own_ray(settings: Settings, console: Console, last_words: str) -> Iterator[None]:
    # All of Ray listens on loopback, as it does on a Mac; this process has read the variable already.
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    dashboard = settings.dashboard and _has_dashboard(console)
    # HyperOpt takes a second to import, Ray three to start. HyperOpt has the thread, since Ray's processes end with the
    # thread that started them.
    imports = threading.Thread(target=_import_sampler, args=[settings.search])
    imports.start()
    with _guarded(last_words), _told_of_its_death():
        with sigterm_kept():
            context = ray.init(
                address="local",  # RAY_ADDRESS, or a cluster that someone started here, is not what was asked for
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        imports.join()
        _tell_dashboard(settings, context, console)
        yield


def _has_dashboard(console: Console) -> bool:
    """Whether the packages of Ray's dashboard are there; Ray would refuse to start without them."""
    if (missing := get_dashboard_dependency_error()) is None:
        return True
    console.print(
        f"No Ray dashboard, since its packages are not all there ({missing}); `pip install 'ray[default]'` adds them.",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    return False


def _tell_dashboard(settings: Settings, context: Any, console: Console) -> None:
    if settings.dashboard and context.dashboard_url:
        where = f"http://{context.dashboard_url} (its token: `ray get-auth-token`)"
        console.print(f"Ray dashboard: {where}", highlight=False)


@contextmanager
def _told_of_its_death() -> Iterator[None]:
    """RayDied for what Ray says when one of its processes dies while it starts, or between two looks."""
    try:
        yield
    except Exception as error:
        if why := death() or ("" if ray.is_initialized() else "Ray did not start"):
            raise RayDied(why) from error
        raise


@contextmanager
def _guarded(last_words: str) -> Iterator[None]:
    """Ends the Ray that is started meanwhile, and whatever it leaves, whatever way this process ends."""
    mark = str(uuid.uuid4())
    # In a session of its own: a Ctrl-C in the terminal is not for it.
    command = [sys.executable, "-I", "-S", guard.__file__, f"{MARK}={mark}", last_words]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    guard.ear = watcher.stdin
    os.environ[MARK] = mark
    try:
        yield
    finally:
        del os.environ[MARK]
        try:
            ray.shutdown()
        finally:
            guard.farewell()
            watcher.communicate()  # until nothing is left


def _set_up() -> None:
    """How Ray is to behave, in its own terms; all of it is read when Ray starts, or later."""
    os.environ |= {
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours ends trials and loggers in order
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a CSV, a JSON and a TensorBoard file a trial; we have Parquet
        "TUNE_GLOBAL_CHECKPOINT_S": str(2**31),  # its own state, from which nothing is restored
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the view says it in a line; the traceback lies in ray/
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # it repeats as an error what the summary counts


def _import_sampler(method: Method) -> None:
    with suppress(Exception):  # the import that follows says it where it can be heard
        importlib.import_module("tune.search.optuna_tpe" if method == "optuna" else "tune.search.hyperopt_tpe")
