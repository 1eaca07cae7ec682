"""Quick checks of a search that need neither torch nor the images.

A dry run needs no more; `plan.prepare` continues from here.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from tune import wandb_mode
from tune.files import obstacle
from tune.search import devices, warm_start
from tune.search.devices import Machine, Share
from tune.search.warm_start import EarlierRun
from tune.settings import Settings
from tune.space import SearchSpace
from tune.training import sources
from tune.training.config import MAX_SEED
from tune.training.initial_weights import weights_path
from tune.wording import counted

RESNET50_IMAGES_PER_S = 3.0
"""Training images per second and CPU core at 224 px: a rough figure for cores with bf16; others are slower."""


@dataclass(frozen=True)
class Checked:
    """A search that has passed these checks."""

    settings: Settings
    share: Share
    settled: bool
    """Whether the share is final; if not, it is provisional until measured."""

    train_images: int
    """Per epoch, if the data set is the published one."""

    val_images: int
    warnings: tuple[str, ...]
    earlier: EarlierRun | None = None
    """The run of --warm-start; None when resuming, as the run has its own copy of what it needs."""


def check(options: argparse.Namespace, space: SearchSpace, space_sha256: str, name: str, machine: Machine) -> Checked:
    """Checks the options against the space and the machine. Writes nothing; ValueError says what to change."""
    share, settled = devices.resolve(
        machine,
        options.gpus_per_trial,
        options.cpus_per_trial,
        space_gpus=space.gpus_per_trial,
        space_cpus=space.cpus_per_trial,
    )
    epochs = options.max_epochs or space.epochs
    space.config(space.reference, epochs=epochs, seed=options.seed)  # ValueError if either is out of range
    if options.confirm and options.seed + options.seeds > MAX_SEED:
        raise ValueError(f"--seed is {options.seed}, which leaves no room for the seeds of --confirm; lower it.")
    weights = weights_path(space.model, options.weights)
    mode = wandb_mode.resolve(options.wandb)
    wandb_mode.check_project(options.wandb_project)
    if sources.still_to_do(options.data, options.data_dir) and (why := obstacle(options.data_dir)):
        raise sources.unusable(options.data_dir, why)
    train, val = sources.split_sizes(options.data, options.val_fraction, options.train_subset)
    sources.check_split(options.val_fraction, train, val)
    name = name if options.name is None else options.name
    if options.resume is None:
        options.storage.check_free(name)
    earlier = earlier_run = None
    if options.warm_start is not None and options.resume is None:
        earlier_run = options.storage.find(options.warm_start)
        earlier = warm_start.read(earlier_run, space.model)
    settings = Settings(
        space=str(options.space.absolute()),
        space_sha256=space_sha256,
        model=space.model,
        data=options.data,
        data_dir=str(options.data_dir.absolute()),
        train_subset=options.train_subset,
        val_fraction=options.val_fraction,
        trials=options.trials or space.trials,
        max_epochs=epochs,
        time_budget_s=options.time_budget,
        gpus_per_trial=share.gpus,
        cpus_per_trial=share.cpus,
        search=options.search,
        scheduler=options.scheduler,
        metric=options.metric,
        confirm=options.confirm,
        seeds=options.seeds,
        seed=options.seed,
        name=name,
        storage=options.storage.address,
        wandb=mode,
        wandb_project=options.wandb_project,
        weights=None if weights is None else str(weights),
        warm_start=options.warm_start if earlier_run is None else earlier_run.address,
        dashboard=options.dashboard,
        address=options.address,
    )
    return Checked(settings, share, settled, train, val, tuple(_warnings(settings, machine, train)), earlier)


def _warnings(settings: Settings, machine: Machine, images: int) -> list[str]:
    """What the user should know before spending hours."""
    if settings.model != "resnet50" or settings.gpus_per_trial:
        return []
    cores = machine.at_once(Share(settings.cpus_per_trial, 0)) * settings.cpus_per_trial
    hours = settings.trials * settings.max_epochs * images / (RESNET50_IMAGES_PER_S * cores) / 3600
    return [
        f"ResNet-50 at 224 px on {counted(cores, 'CPU core')}: about {hours:,.1f} hours if no trial is stopped early "
        f"(estimated from {RESNET50_IMAGES_PER_S:g} images per second and core). "
        "A GPU, --train-subset or a smaller image_size shortens it."
    ]
