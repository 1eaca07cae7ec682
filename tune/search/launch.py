"""Runs a search: Ray, Tune, and what listens to them, put together and taken apart again."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from tune.results import Row, RunFolder, now
from tune.search import confirm, tracking
from tune.search.asha import AshaScheduler
from tune.search.console import view
from tune.search.devices import Machine, Share
from tune.search.events import Events, Listener
from tune.search.journal import Journal
from tune.search.past import Past, nothing_to_do
from tune.search.plan import Plan
from tune.search.proposals import ProposalSearcher, Proposer
from tune.search.session import Interrupted, interruptible, started_ray
from tune.search.trial import Task, Trial

PACKAGES = ("torch", "torchvision", "ray", "hyperopt", "optuna", "wandb", "pyarrow", "numpy")

SPENT_EVERY_S = 10.0
"""How often the time that a search has run is noted."""


def search(plan: Plan, folder: RunFolder, past: Past, console: Console) -> None:
    """Runs every trial that `past` has not ended yet. The folder is whole at any moment.

    KeyboardInterrupt if the user ended it; what was learnt until then lies in the folder.
    """
    settings = plan.settings
    spent = Spent(folder, _about(plan) | past.about, time.monotonic())
    # Whole before Ray starts, which takes seconds in which one may lose patience.
    journal = None if nothing_to_do(past, settings) else Journal(folder, settings.metric, past)
    if journal is None:
        spent.stop()
    with started_ray(settings, console), interruptible():
        if journal is not None:
            _search(plan, folder, past, journal, spent, console)
        if not Interrupted.by_user and (planned := confirm.todo(folder, settings)):
            _confirm(plan, folder, planned, console)
    confirm.decide(folder, settings)
    spent.write(ended=now())
    if Interrupted.by_user:
        raise KeyboardInterrupt


def _search(plan: Plan, folder: RunFolder, past: Past, journal: Journal, spent: Spent, console: Console) -> None:
    """The trials of the search itself."""
    settings, asha = plan.settings, past.asha
    proposer = Proposer(
        plan.space,
        epochs=settings.max_epochs,
        seed=settings.seed,
        method=settings.search,
        head_start=past.head_start,
    )
    searcher = ProposalSearcher(proposer, settings.metric, past.known, past.unfinished, journal.trial_proposed)
    title = f"{settings.name}: {settings.model} on {settings.data}, {settings.max_epochs} epochs a trial"
    left = settings.trials - past.ended
    with view(title, left, console) as shown:
        try:
            _tuner(
                plan,
                folder,
                searcher=searcher,
                scheduler=FIFOScheduler() if asha is None else AshaScheduler(asha),
                listeners=[journal, shown, spent],
                trials=left,
                time_budget_s=spent.left(settings.time_budget_s),
            ).fit()
        finally:
            journal.close()
            repeats = past.about.get("repeats_refused", 0) + proposer.repeats_refused
            spent.write(repeats_refused=repeats, used_up=proposer.used_up)
            spent.stop()


def _confirm(plan: Plan, folder: RunFolder, planned: list[tuple[Row, int]], console: Console) -> None:
    """The best of the search again, on other seeds."""
    settings = plan.settings
    trials = len({row["trial_id"] for row, _ in planned})
    title = f"{settings.name}: the best again, {trials} of the trials, on {settings.seeds} other seeds"
    with view(title, len(planned), console) as shown:
        _tuner(
            plan,
            folder,
            searcher=confirm.Reruns(planned, settings.metric),
            scheduler=FIFOScheduler(),
            listeners=[confirm.RerunJournal(folder), shown],
            trials=len(planned),
            time_budget_s=None,
        ).fit()


def _tuner(
    plan: Plan,
    folder: RunFolder,
    *,
    searcher: Searcher,
    scheduler: TrialScheduler,
    listeners: list[Listener],
    trials: int,
    time_budget_s: float | None,
) -> tune.Tuner:
    """Ray Tune, set up for `trials` more trials."""
    settings, share = plan.settings, plan.share
    task = Task(
        arrow=plan.arrow.absolute(),
        val_fraction=settings.val_fraction,
        split_seed=settings.seed,
        train_subset=settings.train_subset,
        weights=None if settings.weights is None else Path(settings.weights),
        share=share,
    )
    asha = scheduler.asha if isinstance(scheduler, AshaScheduler) else None
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(Trial, task=task), {"cpu": share.cpus, "gpu": share.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            # Without a bound Ray draws a trial ahead of the free places; TPE is better asked late.
            max_concurrent_trials=_at_once(share),
            scheduler=scheduler,
            metric=settings.metric,
            mode="max",
            num_samples=trials,
            time_budget_s=time_budget_s,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            name="ray",
            storage_path=str(folder.path),
            callbacks=[Events(listeners, asha), *tracking.callbacks(settings, folder)],
            stop=Interrupted(),
            verbose=0,
        ),
    )


class Spent:
    """Keeps experiment.json, and in it how long the search has run, so that a budget outlives a crash. A `Listener`."""

    def __init__(self, folder: RunFolder, about: dict[str, Any], began: float) -> None:
        """`began` on the monotonic clock."""
        self._folder = folder
        self._about = about
        self._began = began
        self._before = about["spent_s"]
        self._stopped: float | None = None
        self.write()

    def left(self, budget_s: float | None) -> float | None:
        """What is left of a time budget, in seconds; at least one, since Ray takes 0 for none."""
        return None if budget_s is None else max(1.0, budget_s - self._seconds())

    def stop(self) -> None:
        """The search itself has ended; the reruns of --confirm are not in its budget."""
        self._stopped = self._seconds()

    def write(self, **more: Any) -> None:
        self._about |= {"spent_s": self._seconds(), **more}
        self._folder.write_json("experiment.json", self._about)

    def trial_started(self, *_: Any) -> None: ...
    def epoch_ended(self, *_: Any) -> None: ...
    def trial_ended(self, *_: Any) -> None: ...
    def tick(self) -> None:
        if self._seconds() - self._about["spent_s"] > SPENT_EVERY_S:
            self.write()

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began if self._stopped is None else self._stopped


def _about(plan: Plan) -> dict[str, Any]:
    """What experiment.json tells of a search, at its start."""
    python = {"python": platform.python_version()}
    return {
        "settings": plan.settings.to_dict(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES} | python,
        "git_commit": _git_commit(),
        "devices": list(plan.machine.names),
        "data_fingerprint": plan.data_fingerprint,
        "started": now(),
        "ended": None,
        "spent_s": 0.0,
        "repeats_refused": 0,
        "used_up": False,
    }


def _at_once(share: Share) -> int:
    """How many trials Ray has room for side by side; at least one, so that Ray itself says what is missing."""
    resources = ray.cluster_resources()
    return max(1, Machine(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), ()).at_once(share))


def _trial_name(trial: RayTrial) -> str:
    return f"{trial.config['model']}-{trial.config['trial_id']}"


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
