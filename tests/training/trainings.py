"""Trainings of seconds, and what of them must not depend on the machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from tune.training import checkpoint
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.loop import EpochResult, fit

CPU = torch.device("cpu")

LEARNS = {"optimizer": "adamw", "lr": 0.002, "epochs": 8}

# Everything random that there is, at once.
RANDOM = {
    "augmentation": "randaugment", "random_erasing": 0.3, "label_smoothing": 0.1, "mixup": 0.4, "cutmix": 1.0,
    "dropout": 0.3, "nesterov": True, "weight_decay": 1e-3, "distortion": 0.3,
}  # fmt: skip

# And the average of weights, and views.
AVERAGED = {"augmentation": "augmix", "jsd": 2.0, "ema": 0.9, "distortion": 0.3, "dropout": 0.3}


def config(**changes: Any) -> TrainConfig:
    plain = {"model": "simple_cnn", "lr": 0.02, "batch_size": 40, "epochs": 4, "augmentation": "none"}
    return TrainConfig.from_dict(plain | changes)


def figures(result: EpochResult) -> dict[str, Any]:
    """All that is not a measurement of the machine."""
    machine = {"wall_s", "images_per_s", "peak_memory_mb", "training"}
    return {
        field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name not in machine
    }


def run(trained: TrainConfig, data: TrainingData, start: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [figures(result) for result in fit(trained, data, CPU, start)]


def without_validation(data: TrainingData) -> TrainingData:
    return TrainingData(data.train, None)


def beginning(data: TrainingData, count: int) -> TrainingData:
    """Fewer images to train on, where the number does not matter."""
    return TrainingData(data.train.select(torch.arange(count)), data.val)


def kept(result: EpochResult, folder: Path) -> dict[str, Any]:
    """The state after an epoch, by way of a file."""
    path = folder / f"{result.epoch}.pt"
    checkpoint.save(path, result.training.state_dict())
    return checkpoint.load(path)
