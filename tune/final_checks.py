"""The checks before a final training, and the request that comes out of them."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cifar_models
from tune.files import obstacle
from tune.results import RunFolder, config_of
from tune.settings import FINAL_EPOCHS, Settings
from tune.training import looks
from tune.training.config import TrainConfig, at_horizon

if TYPE_CHECKING:
    from tune.training.checkpoint import Classifier
    from tune.training.final_folder import FinalFolder
    from tune.training.request import Request


def check_folder(final: FinalFolder, options: argparse.Namespace) -> None:
    """ValueError if the options do not fit what is in final/."""
    if why := obstacle(final.folder.path):
        raise ValueError(f"{final.folder.path} cannot be written to ({why}); make it a folder of yours, or remove it.")
    if options.resume and options.overwrite:
        raise ValueError("--resume continues and --overwrite starts over; give only one of them.")
    if options.ood_only:
        training = (options.resume, options.overwrite, options.trial, options.epochs, options.train_on, options.seeds)
        if any(training):
            raise ValueError("--ood-only predicts with the existing model; give no options for the training.")
        if not final.model.is_file():
            command = f"python -m tune.finalize {shlex.quote(final.run.address)}"
            raise ValueError(f"{final.model} is not there; run `{command}` without --ood-only first.")
    elif options.resume:
        if not final.checkpoint.is_file():
            raise ValueError(f"{final.folder.path} holds no checkpoint to resume from; omit --resume.")
        final.folder.read_rows("epochs.parquet")  # ValueError now rather than a traceback later
    elif looks.holds_more(final.folder.path) and not options.overwrite:
        predicts = ", --ood-only only predicts" if final.model.is_file() else ""
        more = ", --resume continues it" if final.checkpoint.is_file() else predicts
        raise ValueError(f"{final.folder.path} already exists; --overwrite replaces it{more}.")
    if not options.ood_only:
        looks.so_far(final.folder)  # ValueError now rather than after the training


def check_model(final: FinalFolder) -> Classifier:
    """Loads the existing model. ValueError if it cannot be used."""
    from tune.training import checkpoint

    try:
        return checkpoint.load_model(final.model, final.device)
    except ValueError as error:
        why = textwrap.shorten(str(error), 250).rstrip(".")
        raise ValueError(f"{final.model} cannot be used; --overwrite trains a new one. ({why})") from error


def check_batch_norm(model: str) -> None:
    """ValueError if the architecture has no batch normalisation, and so no statistics to adapt."""
    from tune.training import batch_norm

    if not batch_norm.has_batch_norm(cifar_models.load(model).build(None)):
        raise ValueError(f"{model} has no batch normalisation, so there is nothing to adapt: omit --adapt-batch-norm.")


def ood_files(
    options: argparse.Namespace, run: RunFolder, settings: Settings, data_dir: Path, say: Callable[[str], None]
) -> list[Path]:
    """The files of the challenge. If they are missing, none, with a message to `say`; ValueError with --ood-only."""
    from tune.training import ood, sources

    folder = sources.ood_folder(settings.data, data_dir) if options.ood_dir is None else options.ood_dir
    try:
        return ood.locate(folder)
    except ood.OodMissing as error:
        if options.ood_only:
            raise ValueError(str(error)) from error
        later = f"python -m tune.finalize {shlex.quote(run.address)} --ood-only"
        say(f"No OOD predictions: {error}")
        say(f"Everything else continues; `{later}` predicts them later.")
        return []


def make_request(
    final: FinalFolder, folder: RunFolder, settings: Settings, data_dir: Path, options: argparse.Namespace
) -> Request:
    """What to train, for how long, on which data. ValueError if a checkpoint to resume was made for something else."""
    from tune.training.final_training import kept_request
    from tune.training.request import Request

    trial_id, config = pick(folder, options.trial)
    request = Request(
        config=at_horizon(config, options.epochs or FINAL_EPOCHS),
        trial_id=trial_id,
        train_on=options.train_on or "all",
        data=settings.data,
        data_dir=data_dir,
        val_fraction=settings.val_fraction,
        split_seed=settings.seed,
        weights=None if settings.weights is None else Path(settings.weights),
        seeds=options.seeds or 1,
        tta=options.tta,
    )
    if not options.resume:
        return request
    try:
        resumed = request.resumed(kept_request(final))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{final.checkpoint} is not a checkpoint of this version; --overwrite starts over.") from error
    if options.tta and not resumed.tta:
        raise ValueError("The checkpoint was made for a test without --tta; omit --tta.")
    asked = {
        "--trial": (options.trial and trial_id, resumed.trial_id),
        "--epochs": (options.epochs, resumed.config.epochs),
        "--train-on": (options.train_on, resumed.train_on),
        "--seeds": (options.seeds, resumed.seeds),
    }
    for option, (value, kept) in asked.items():
        if value is not None and value != kept:
            raise ValueError(f"The checkpoint was made for {option} {kept}, not {value}; omit {option}.")
    return resumed


def pick(folder: RunFolder, trial: str | None) -> tuple[str, TrainConfig]:
    """The id and configuration of the best trial, or of `trial`. ValueError if there is none."""
    if trial is not None:
        rows = {str(row.get("trial_id")): row for row in folder.read_rows("trials.parquet")}
        row = rows.get(trial.zfill(4) if trial.isdecimal() else trial)
        if row is None:
            raise ValueError(f"{folder.name} has no trial {trial}; it has {', '.join(rows) or 'none'}.")
        return row["trial_id"], config_of(row)
    best = folder.read_json("best.json")
    if not best:
        raise ValueError(f"No trial of {folder.name} has a result; search again, or name one with --trial.")
    try:
        return str(best["trial_id"]), TrainConfig.from_dict(best["config"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = str(error).rstrip(".")
        raise ValueError(f"best.json of {folder.name} is damaged ({why}); name a trial with --trial.") from error
