"""Runs a search: Ray, Tune, and what listens to them, put together and taken apart again."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import logging
import os
import platform
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as RayTrial
from rich.console import Console

from tune.results import RunFolder, now
from tune.search import tracking
from tune.search.asha import Asha, AshaScheduler, default_grace
from tune.search.console import view
from tune.search.devices import Machine, Share
from tune.search.events import Events
from tune.search.journal import Journal
from tune.search.plan import Plan
from tune.search.trial import Task, Trial
from tune.settings import Settings

PACKAGES = ("torch", "torchvision", "ray", "hyperopt", "wandb", "pyarrow", "numpy")


def search(plan: Plan, folder: RunFolder, console: Console) -> None:
    """Runs every trial. The folder is whole at any moment.

    KeyboardInterrupt if the user ended it; what was learnt until then lies in the folder.
    """
    settings, share = plan.settings, plan.share
    about = {
        "settings": settings.to_dict(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "git_commit": _git_commit(),
        "devices": list(plan.machine.names),
        "data_fingerprint": plan.data_fingerprint,
        "started": now(),
        "ended": None,
    }
    folder.write_json("experiment.json", about)
    asha = Asha(settings.max_epochs, default_grace(settings.max_epochs)) if settings.scheduler == "asha" else None
    journal = Journal(folder, settings.metric, asha)
    title = f"{settings.name}: {settings.model} on {settings.data}, {settings.max_epochs} epochs a trial"
    task = Task(
        arrow=plan.arrow.absolute(),
        val_fraction=settings.val_fraction,
        split_seed=settings.seed,
        train_subset=settings.train_subset,
        weights=None if settings.weights is None else Path(settings.weights),
        share=share,
    )
    with _ray(settings, console), _interruptible(), view(title, settings.trials, console) as shown:
        from tune.search.proposals import ProposalSearcher, Proposer  # by now imported, if Ray had to start

        proposer = Proposer(plan.space, epochs=settings.max_epochs, seed=settings.seed, method=settings.search)
        try:
            tuner = tune.Tuner(
                tune.with_resources(tune.with_parameters(Trial, task=task), {"cpu": share.cpus, "gpu": share.gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=ProposalSearcher(proposer, settings.metric),
                    # Without a bound Ray draws a trial ahead of the free places; TPE is better asked late.
                    max_concurrent_trials=_at_once(share),
                    scheduler=None if asha is None else AshaScheduler(asha),
                    metric=settings.metric,
                    mode="max",
                    num_samples=settings.trials,
                    time_budget_s=settings.time_budget_s,
                    reuse_actors=True,
                    trial_name_creator=_trial_name,
                    trial_dirname_creator=_trial_name,
                ),
                run_config=tune.RunConfig(
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    name="ray",
                    storage_path=str(folder.path),
                    callbacks=[Events([journal, shown], asha), *tracking.callbacks(settings, folder)],
                    stop=Interrupted(),
                    verbose=0,
                ),
            )
            tuner.fit()
        finally:
            journal.write()
    folder.write_json("experiment.json", about | {"ended": now(), "repeats_refused": proposer.repeats_refused})
    if Interrupted.by_user:
        raise KeyboardInterrupt


def _at_once(share: Share) -> int:
    """How many trials Ray has room for side by side; at least one, so that Ray itself says what is missing."""
    resources = ray.cluster_resources()
    return max(1, Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), ()).at_once(share))


def _trial_name(trial: RayTrial) -> str:
    return f"{trial.config['model']}-{trial.config['trial_id']}"


class Interrupted(tune.Stopper):  # type: ignore[misc]  # Ray ships no types for it
    """Ends the search when the user asks for it."""

    by_user = False
    """Of the class, not the object: Ray runs a pickled copy."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return Interrupted.by_user


@contextmanager
def _interruptible() -> Iterator[None]:
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
def _ray(settings: Settings, console: Console) -> Iterator[None]:
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
    imports = threading.Thread(target=_import_proposals)
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


def _import_proposals() -> None:
    with suppress(Exception):  # the import that follows says it where it can be heard
        importlib.import_module("tune.search.proposals")


def _git_commit() -> str | None:
    """The commit of this project's checkout, where there is one; `-dirty` if files were changed since."""
    try:
        here = Path(__file__).parent
        run = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True)
        run(["git", "ls-files", "--error-unmatch", Path(__file__).name])  # not some other project's checkout
        done = run(["git", "describe", "--always", "--abbrev=40", "--dirty"])
    except (OSError, subprocess.CalledProcessError):
        return None
    return str(done.stdout).strip()
