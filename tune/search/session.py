"""Ray for the length of a search, and how the user ends one."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray import tune
from rich.console import Console

from tune.settings import Method, Settings


class Interrupted(tune.Stopper):  # type: ignore[misc]  # Ray ships no types for it
    """Ends the search when the user asks for it."""

    by_user = False
    """Of the class, not the object: Ray runs a pickled copy."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return Interrupted.by_user


@contextmanager
def interruptible() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the search with what it has, the second ends the process.

    To be entered when Ray has started: it sets a handler of its own for SIGTERM.
    """
    Interrupted.by_user = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def interrupt(number: int, frame: object) -> None:
        Interrupted.by_user = True
        for again, handler in before.items():
            signal.signal(again, handler)

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
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the view says it in a line; the traceback lies in ray/
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # it repeats as an error what the summary counts
    if ray.is_initialized():
        yield
        return
    # HyperOpt takes a second to import, Ray three to start. HyperOpt has the thread, since Ray's processes end with the
    # thread that started them.
    imports = threading.Thread(target=_import_sampler, args=[settings.search])
    imports.start()
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
        ray.shutdown()


def _import_sampler(method: Method) -> None:
    with suppress(Exception):  # the import that follows says it where it can be heard
        importlib.import_module("tune.search.optuna_tpe" if method == "optuna" else "tune.search.hyperopt_tpe")
