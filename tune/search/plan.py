"""Turns the user's options into a search that is ready to start; finds errors before Ray starts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from tune.files import sha256
from tune.search import checks, cluster, devices, sharing, warm_start
from tune.search.calibrate import Calibration
from tune.search.devices import Machine, Share
from tune.search.warm_start import Taken
from tune.settings import Settings
from tune.space import SearchSpace
from tune.training import data, sources
from tune.training.initial_weights import find_weights


@dataclass(frozen=True)
class Plan:
    """A search that is ready to start."""

    settings: Settings
    space: SearchSpace
    arrow: Path
    """The Arrow file of the training images."""

    data_fingerprint: str
    weights_sha256: str | None
    """Of the pretrained weights; None if models start from random weights."""

    machine: Machine
    share: Share
    calibration: Calibration | None
    """The measurement that decided the share; None if the user or the space did."""

    warnings: tuple[str, ...]
    taken: Taken
    """From the run of --warm-start; empty without one, and when resuming."""


def prepare(options: argparse.Namespace, space: SearchSpace, space_sha256: str, name: str, console: Console) -> Plan:
    """Runs all checks, fetches missing data and weights, and measures the share if it is open.

    ValueError says what to change.
    """
    machine = devices.this_machine() if options.address is None else cluster.look(options.address)
    checked = checks.check(options, space, space_sha256, name, machine)
    weights = find_weights(space.model, options.weights)
    arrow = sources.prepare(options.data, options.data_dir, "train")
    images = data.load_training(arrow, options.val_fraction, options.seed, options.train_subset)
    sources.check_split(options.val_fraction, len(images.train), 0 if images.val is None else len(images.val))
    settings, fingerprint = checked.settings, images.train.fingerprint
    taken = warm_start.take(checked.earlier, space, settings, fingerprint)
    digest = None if weights is None else sha256(weights)
    share, calibration = sharing.settle(checked, space, machine, console)  # last, as it takes seconds
    settings = replace(settings, gpus_per_trial=share.gpus, cpus_per_trial=share.cpus)
    return Plan(settings, space, arrow, fingerprint, digest, machine, share, calibration, checked.warnings, taken)
