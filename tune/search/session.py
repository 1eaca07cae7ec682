"""Starts Ray for a search, or joins a cluster, and ends it afterwards."""

from __future__ import annotations

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

from tune import wording
from tune.search import cluster, guard
from tune.search.proposals import sampler_class
from tune.search.watchdog import RayDied, death, sigterm_kept
from tune.settings import Method, Settings

MARK = "TUNE_SEARCH"
"""Environment variable by which the guard recognises the processes of the search."""


@contextmanager
def started_ray(settings: Settings, console: Console, resume_hint: str) -> Iterator[None]:
    """Starts a local Ray, which ends with the search, or joins the cluster at `settings.address`.

    A Ray that is already running in this process is used and left alone. If this process is killed, or aborted by Ray's
    core, the guard of a local Ray prints `resume_hint`.
    """
    _set_up()
    if ray.is_initialized():
        yield
    elif settings.address is not None:
        with cluster.joined(settings.address) as context, _told_of_its_death():
            _tell_dashboard(settings, context, console)
            yield
    else:
        with _own_ray(settings, console, resume_hint):
            yield


@contextmanager
def _own_ray(settings: Settings, console: Console, resume_hint: str) -> Iterator[None]:
    # Makes all of Ray listen on loopback only, as on a Mac. This process has read the variable already.
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    dashboard = settings.dashboard and _has_dashboard(console)
    # A sampler takes up to a second to import, Ray three to start. The import gets the thread, since Ray's processes
    # end with the thread that started them.
    imports = threading.Thread(target=_import_sampler, args=[settings.search])
    imports.start()
    with _guarded(resume_hint), _told_of_its_death():
        with sigterm_kept():
            context = ray.init(
                address="local",  # ignores RAY_ADDRESS, and clusters that others started here
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        imports.join()
        _tell_dashboard(settings, context, console)
        yield


def _has_dashboard(console: Console) -> bool:
    """Whether the packages of Ray's dashboard are installed; otherwise Ray would refuse to start."""
    if (missing := get_dashboard_dependency_error()) is None:
        return True
    wording.printer(console)(
        f"No Ray dashboard, as packages are missing ({missing}); `pip install 'ray[default]'` installs them."
    )
    return False


def _tell_dashboard(settings: Settings, context: Any, console: Console) -> None:
    if settings.dashboard and context.dashboard_url:
        where = f"http://{context.dashboard_url} (its token: `ray get-auth-token`)"
        wording.printer(console)(f"Ray dashboard: {where}")


@contextmanager
def _told_of_its_death() -> Iterator[None]:
    """Turns exceptions caused by the death of one of Ray's processes into RayDied."""
    try:
        yield
    except Exception as error:
        if why := death() or ("" if ray.is_initialized() else "Ray did not start"):
            raise RayDied(why) from error
        raise


@contextmanager
def _guarded(resume_hint: str) -> Iterator[None]:
    """Ends the Ray started in this block, and all its processes, in whatever way this process ends."""
    mark = str(uuid.uuid4())
    # In its own session, so that Ctrl-C in the terminal does not reach it.
    command = [sys.executable, "-I", "-S", guard.__file__, f"{MARK}={mark}", resume_hint]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    guard.pipe = watcher.stdin
    os.environ[MARK] = mark
    try:
        yield
    finally:
        del os.environ[MARK]
        try:
            ray.shutdown()
        finally:
            guard.dismiss()
            watcher.communicate()  # waits until no process is left


def _set_up() -> None:
    """Configures Ray through its environment variables and loggers, which it reads when it starts or later."""
    os.environ |= {
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # our handler ends trials and loggers in order
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # CSV, JSON and TensorBoard files per trial; we write Parquet
        "TUNE_GLOBAL_CHECKPOINT_S": str(2**31),  # its own state, which we never restore
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the view prints one line; the traceback is in ray/
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # it repeats the summary as an error


def _import_sampler(method: Method) -> None:
    with suppress(Exception):  # the later import in the main thread reports it
        sampler_class(method)
