"""A plain Optuna search for SimpleCNN: TPE and successive halving in processes that share a journal file.

    python -m benchmarks.peers.plain_optuna --data-dir DIR --train-subset 10000 --trials 16 --max-epochs 4 --seed 0

The space is that of benchmarks/space.py, and the same two configurations run first.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback

from benchmarks.peers import plain_loop

PLAIN = {"random_erasing": 0.0, "label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, "dropout": 0.0}
FIRST: list[dict[str, Any]] = [
    PLAIN | {"lr": 0.04, "batch_size": 32, "nesterov": True, "weight_decay": 5e-4}
    | {"scheduler": "cosine", "cosine_warmup": 0.1, "augmentation": "crop_flip"},
    PLAIN | {"lr": 0.1, "batch_size": 8, "nesterov": False, "weight_decay": 0.0}
    | {"scheduler": "step", "gamma": 0.9, "augmentation": "none"},
]  # fmt: skip


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    config: dict[str, Any] = {
        "lr": trial.suggest_float("lr", 1e-3, 0.3, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [8, 32, 64, 128, 256]),
        "nesterov": trial.suggest_categorical("nesterov", [False, True]),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 1e-4, 5e-4, 2e-3]),
        "scheduler": trial.suggest_categorical("scheduler", ["step", "cosine", "one_cycle"]),
        "augmentation": trial.suggest_categorical("augmentation", ["none", "crop_flip", "trivialaugment"]),
        "random_erasing": trial.suggest_categorical("random_erasing", [0.0, 0.25]),
        "label_smoothing": trial.suggest_categorical("label_smoothing", [0.0, 0.1]),
        "mixup": trial.suggest_categorical("mixup", [0.0, 0.2]),
        "cutmix": trial.suggest_categorical("cutmix", [0.0, 1.0]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
    }
    if config["scheduler"] == "step":
        config["gamma"] = trial.suggest_float("gamma", 0.8, 0.98)
    elif config["scheduler"] == "cosine":
        config["warmup"] = trial.suggest_categorical("cosine_warmup", [0.0, 0.1])
    else:
        config["warmup"] = trial.suggest_float("one_cycle_warmup", 0.1, 0.5)
    return config


def objective(trial: optuna.Trial, options: argparse.Namespace) -> float:
    config = suggest(trial) | {"epochs": options.max_epochs}
    accuracy = 0.0
    for result in plain_loop.epochs(config, options.data_dir, options.train_subset, options.seed):
        accuracy = result["val_acc"]
        trial.report(accuracy, int(result["epoch"]))
        if result["epoch"] < options.max_epochs and trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


def open_study(options: argparse.Namespace, worker: int) -> optuna.Study:
    return optuna.create_study(
        study_name="plain",
        storage=JournalStorage(JournalFileBackend(str(options.storage / "journal.log"))),
        sampler=TPESampler(seed=options.workers * options.seed + worker),
        pruner=SuccessiveHalvingPruner(),
        direction="maximize",
        load_if_exists=True,
    )


def work(worker: int, options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    study = open_study(options, worker)
    study.optimize(partial(objective, options=options), callbacks=[MaxTrialsCallback(options.trials, states=None)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--train-subset", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--max-epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--storage", type=Path, required=True)
    options = parser.parse_args()
    study = open_study(options, 0)
    for point in FIRST:
        study.enqueue_trial(point)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(worker, options)) for worker in range(options.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit("a worker failed")
    epochs = sum(len(trial.intermediate_values) for trial in study.trials)
    print(json.dumps({"best_val_acc": study.best_value, "epochs": epochs, "trials": len(study.trials)}))


if __name__ == "__main__":
    main()
