"""Runs a search: sets up Ray, Tune and the listeners, and cleans up after them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import ray
from ray import tune
from ray.tune import TuneError
from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from rich.console import Console

from tune.remote import Unreachable
from tune.results import ENDED, Row, RunFolder, now
from tune.search import confirm, summary
from tune.search.asha import Asha, AshaScheduler
from tune.search.broadcast import broadcast
from tune.search.checkpoint_store import FolderStore
from tune.search.checkpoints import Checkpoints
from tune.search.cluster import head_watched
from tune.search.devices import Machine, Share
from tune.search.eta import Progress
from tune.search.events import Events
from tune.search.experiment import Experiment
from tune.search.history import History, nothing_to_do
from tune.search.journal import Journal
from tune.search.listener import Listener
from tune.search.live import LiveView
from tune.search.machine_load import Load
from tune.search.plain import PlainView
from tune.search.plan import Plan
from tune.search.proposals import ProposalSearcher, Proposer
from tune.search.retrying_searcher import RetryingSearcher
from tune.search.session import started_ray
from tune.search.trial import CHECKPOINT_EVERY_S, Task, Trial
from tune.search.trial_tracking import tracked
from tune.search.watchdog import Watchdog, interruptible
from tune.settings import Settings
from tune.wording import counted

REMOTE_CHECKPOINT_EVERY_S = 60.0
"""Replaces CHECKPOINT_EVERY_S if checkpoints are sent over a network."""


def search(
    plan: Plan,
    folder: RunFolder,
    history: History,
    console: Console,
    also: Sequence[Listener] = (),
    extra_options: str = "",
) -> None:
    """Resumes the unfinished trials of `history`, runs new ones, then the reruns of --confirm.

    The folder is consistent at any moment. KeyboardInterrupt if the user ended it, Unwritable or RayDied if something
    else did; the results so far are in the folder. `also`: more listeners, called after the journal. `extra_options`:
    to resume with, besides --resume.
    """
    settings = plan.settings
    # All files are written before Ray starts: that takes seconds, in which the user may interrupt.
    experiment = Experiment(folder, plan, history.about, time.monotonic())
    journal = None if nothing_to_do(history, settings) else Journal(folder, settings.metric, history)
    if journal is None:
        experiment.stop()
    experiment.write()  # last: a folder that has it can be resumed
    checkpoints = Checkpoints(folder)
    checkpoints.keep_only(_resumable(folder, settings))
    checkpoints.drop_ahead(history.known_epochs())
    try:
        resume_hint = summary.resume_hint(folder) + extra_options
        with (
            started_ray(settings, console, resume_hint),
            interruptible(resume_hint),
            head_watched(resume_hint),
            tracked(settings, folder, console) as tracker,
        ):
            also = [tracker, *also]
            if journal is not None:
                _search(plan, history, journal, checkpoints, experiment, console, also)
            if planned := confirm.todo(folder, settings):
                with suppress(Unreachable):  # only a clean-up
                    checkpoints.keep_only(_resumable(folder, settings))
                _confirm(plan, folder, planned, checkpoints, console, also)
        confirm.decide(folder, settings)
    finally:
        checkpoints.close()
        experiment.write(ended=now())


def _resumable(folder: RunFolder, settings: Settings) -> list[str]:
    """Ids of the trials and reruns that have not ended, so that their checkpoints are needed."""
    trials = [row["trial_id"] for row in folder.read_rows("trials.parquet") if row["status"] not in ENDED]
    return [*trials, *(confirm.rerun_id(row, seed) for row, seed in confirm.todo(folder, settings))]


def _search(
    plan: Plan,
    history: History,
    journal: Journal,
    checkpoints: Checkpoints,
    experiment: Experiment,
    console: Console,
    also: Sequence[Listener],
) -> None:
    """Runs the trials of the search."""
    settings, asha = plan.settings, history.asha
    proposer = Proposer(
        plan.space,
        epochs=settings.max_epochs,
        seed=settings.seed,
        method=settings.search,
        head_start=history.head_start,
    )
    searcher = ProposalSearcher(
        proposer, settings.metric, history.known, history.unfinished, journal.trial_proposed, settings.trials
    )
    title = f"{settings.name}: {settings.model} on {settings.data}, {counted(settings.max_epochs, 'epoch')} per trial"
    budget_s = experiment.left(settings.time_budget_s)
    rungs = () if asha is None else asha.rungs
    progress = Progress(settings.trials, settings.max_epochs, _at_once(plan.share), rungs, budget_s)
    shown = _view(console)(title, progress, console, settings.metric, history.trials, load=_load(plan))
    with shown:
        try:
            _train(
                plan,
                journal.folder,
                checkpoints,
                searcher=searcher,
                scheduler=FIFOScheduler() if asha is None else AshaScheduler(asha),
                listeners=[Watchdog(), journal, checkpoints, shown, experiment, *also],
                time_budget_s=budget_s,
            )
        finally:
            journal.close()
            repeats = history.about.get("repeats_refused", 0) + proposer.repeats_refused
            experiment.write(repeats_refused=repeats, used_up=proposer.used_up)
            experiment.stop()


def _confirm(
    plan: Plan,
    folder: RunFolder,
    planned: list[tuple[Row, int]],
    checkpoints: Checkpoints,
    console: Console,
    also: Sequence[Listener],
) -> None:
    """Reruns the best trials on other seeds."""
    settings = plan.settings
    trials = len({row["trial_id"] for row, _ in planned})
    title = f"{settings.name}: the best {counted(trials, 'trial')} again, on {counted(settings.seeds, 'other seed')}"
    progress = Progress(len(planned), settings.max_epochs, _at_once(plan.share))
    shown = _view(console)(title, progress, console, settings.metric, ranks=False, load=_load(plan))
    with shown:
        _train(
            plan,
            folder,
            checkpoints,
            searcher=confirm.Reruns(planned, settings.metric),
            scheduler=FIFOScheduler(),
            listeners=[Watchdog(), confirm.RerunJournal(folder), checkpoints, shown, *also],
            time_budget_s=None,
        )


def _view(console: Console) -> type[PlainView] | type[LiveView]:
    return LiveView if console.is_terminal else PlainView


def _train(
    plan: Plan,
    folder: RunFolder,
    checkpoints: Checkpoints,
    *,
    searcher: RetryingSearcher,
    scheduler: TrialScheduler,
    listeners: list[Listener],
    time_budget_s: float | None,
) -> None:
    """Runs Ray Tune until the searcher has no more trials."""
    settings, share = plan.settings, plan.share
    asha = scheduler.asha if isinstance(scheduler, AshaScheduler) else None
    events = Events(listeners, asha, searcher)
    trainable = tune.with_parameters(Trial, task=_task(plan, checkpoints, asha))
    trainable = tune.with_resources(trainable, {"cpu": share.cpus, "gpu": share.gpus})
    trainable.__qualname__ = Trial.__qualname__  # the actors' name on Ray's dashboard
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            # Otherwise Ray asks for a trial before there is room for it; TPE should be asked late.
            max_concurrent_trials=_at_once(share),
            scheduler=scheduler,
            metric=settings.metric,
            mode="max",
            num_samples=-1,  # the searcher decides when to end
            time_budget_s=time_budget_s,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # see `trial`
            name="ray",
            storage_path=str(folder.path),
            callbacks=[events],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except KeyboardInterrupt:  # raised by a listener, so that Tune does not wait for running trials
        events.on_experiment_end([])
        raise
    except TuneError as error:
        if isinstance(error.__context__, OSError):  # raised by a listener, wrapped by Tune
            raise error.__context__ from None
        raise


def _task(plan: Plan, checkpoints: Checkpoints, asha: Asha | None) -> Task:
    settings = plan.settings
    arrow, weights = plan.arrow.absolute(), None if settings.weights is None else Path(settings.weights)
    local = isinstance(checkpoints.store, FolderStore)
    return Task(
        arrow=arrow,
        val_fraction=settings.val_fraction,
        split_seed=settings.seed,
        train_subset=settings.train_subset,
        weights=weights,
        share=plan.share,
        checkpoints=checkpoints.store,
        checkpoint_every_s=CHECKPOINT_EVERY_S if local else REMOTE_CHECKPOINT_EVERY_S,
        robust_at=frozenset([settings.max_epochs, *(() if asha is None else asha.rungs)]),
        broadcast=None if settings.address is None else broadcast(arrow, weights),
    )


def _load(plan: Plan) -> Callable[[], str]:
    """The load of this machine; nothing on a cluster, where trials run elsewhere, too."""
    return str if plan.settings.address is not None else Load(on_gpu=plan.share.gpus > 0)


def _at_once(share: Share) -> int:
    """How many trials fit into Ray's resources at once; at least 1, so that Ray reports what is missing."""
    has = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return max(1, sum(Machine(int(of.get("CPU", 0)), int(of.get("GPU", 0)), ()).at_once(share) for of in has))


def _trial_name(trial: RayTrial) -> str:
    return f"{trial.config['model']}-{trial.config['trial_id']}"
