"""From what the user asked for to a search that can start: everything that may be wrong is found here, before Ray."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from tune import domains
from tune.search import devices, tracking
from tune.search.devices import Machine, Share
from tune.settings import Settings
from tune.space import SearchSpace
from tune.training import data
from tune.training.architecture import find_weights, preprocessing_of
from tune.training.config import TrainConfig

RESNET50_IMAGES_PER_S = 3.0
"""Training images a second and CPU core at 224 px: a rough figure for cores with bf16, others are slower."""


@dataclass(frozen=True)
class Plan:
    """A search that is ready to start."""

    settings: Settings
    space: SearchSpace
    arrow: Path
    data_fingerprint: str
    machine: Machine
    share: Share
    warnings: tuple[str, ...]


def prepare(options: argparse.Namespace, space: SearchSpace, space_sha256: str, name: str) -> Plan:
    """Checks the options against the space, the machine and the data. ValueError says what to mend."""
    machine = devices.this_machine()
    share = devices.resolve(
        machine,
        options.gpus_per_trial,
        options.cpus_per_trial,
        space_gpus=space.gpus_per_trial,
        space_cpus=space.cpus_per_trial,
    )
    epochs = options.max_epochs or space.epochs
    check_image_sizes(space, space.config(space.reference, epochs=epochs, seed=options.seed))
    weights = find_weights(space.model, options.weights)
    mode = tracking.resolve(options.wandb)
    arrow = data.prepare(options.data, options.data_dir, "train")
    images = data.load_training(arrow, options.val_fraction, options.seed, options.train_subset)
    if len(images.train) < data.CLASSES:
        raise ValueError(f"--val-fraction {options.val_fraction:g} leaves no image a class to train on; lower it.")
    if images.val is None:
        raise ValueError(f"--val-fraction {options.val_fraction:g} leaves no image a class to validate on; raise it.")
    settings = Settings(
        space=str(options.space),
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
        confirm_seeds=options.seeds,
        seed=options.seed,
        name=name if options.name is None else options.name,
        storage=str(options.storage.absolute()),
        wandb=mode,
        wandb_project=options.wandb_project,
        weights=None if weights is None else str(weights),
        dashboard=options.dashboard,
    )
    warnings = tuple(_warnings(settings, machine, len(images.train)))
    return Plan(settings, space, arrow, images.train.fingerprint, machine, share, warnings)


def check_image_sizes(space: SearchSpace, config: TrainConfig) -> None:
    """ValueError if the space holds an image size that the network can not take."""
    for name, parameter in domains.leaves(space.parameters):
        for value in domains.extremes(parameter) if name == "image_size" else []:
            preprocessing_of(replace(config, image_size=value))


def _warnings(settings: Settings, machine: Machine, images: int) -> list[str]:
    """What the user should know before it takes hours."""
    if settings.model != "resnet50" or settings.gpus_per_trial:
        return []
    cores = machine.at_once(Share(settings.cpus_per_trial, 0)) * settings.cpus_per_trial
    hours = settings.trials * settings.max_epochs * images / (RESNET50_IMAGES_PER_S * cores) / 3600
    return [
        f"ResNet-50 at 224 px on {cores} CPU cores: about {hours:,.1f} hours if no trial is stopped early "
        f"(an estimate, from {RESNET50_IMAGES_PER_S:g} images a second and core). "
        "A GPU, --train-subset or a smaller image_size shortens it."
    ]
