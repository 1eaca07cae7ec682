"""Checks that the members of a group learn what each would learn alone, for `benchmarks.fused`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmarks.fused.captured import Captured
from benchmarks.fused.group import Group
from benchmarks.fused.networks import METHODS
from benchmarks.gpu.session import float32
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.images import ImageSet
from tune.training.loop import fit

LIMIT = 1e-3
"""In nats, in float32. Losses differ by more if a member is given another's rate, momentum, decay or smoothing."""

DIFFERENT: tuple[dict[str, Any], ...] = (
    {"lr": 0.05, "scheduler": "cosine", "warmup": 0.2, "augmentation": "crop_flip"},
    {"lr": 0.01, "scheduler": "step", "momentum": 0.5, "nesterov": True, "weight_decay": 0.1, "label_smoothing": 0.1},
    {"lr": 0.02, "scheduler": "one_cycle", "momentum": 0.0, "mixup": 0.2, "cutmix": 1.0, "random_erasing": 0.5},
    {"lr": 0.03, "augmentation": "trivialaugment", "weight_decay": 0.02},
)
BATCH_SIZE, STEPS = 8, 8
KEPT = (0, 2)
"""The members that continue after the first epoch."""


def configs() -> list[TrainConfig]:
    """Members with little in common, for two epochs."""
    return [
        TrainConfig(model="simple_cnn", batch_size=BATCH_SIZE, epochs=2, seed=seed, **each)
        for seed, each in enumerate(DIFFERENT)
    ]


def noise(device: torch.device) -> ImageSet:
    """The images of an epoch."""
    count = BATCH_SIZE * STEPS
    pixels = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet(pixels, torch.arange(count), torch.arange(count), (), "").to(device)


@cache
def alone(device: torch.device) -> Tensor:
    """The losses of the engine's own trainings, (epochs, steps, M)."""
    data = TrainingData(noise(device), None)
    with float32():
        losses = [[epoch.batch_loss for epoch in fit(config, data, device)] for config in configs()]
    return torch.tensor(losses).permute(1, 2, 0)


def together(device: torch.device, method: str, graph: bool = False, keep: Sequence[int] = KEPT) -> list[Tensor]:
    """The losses of a group, of which only `keep` continue after the first epoch: (steps, members) for each epoch."""
    with float32():
        group = Group(configs(), noise(device), METHODS[method], Captured if graph else None)
        first, _ = group.epoch()
        group.keep(keep)
        second, _ = group.epoch()
    return [first.cpu(), second.cpu()]


def apart(device: torch.device, method: str, graph: bool = False) -> float:
    """The largest difference between losses in a group, of which two members stop half-way, and alone."""
    first, second = together(device, method, graph)
    expected = alone(device)
    return max(float(each.abs().max()) for each in (first - expected[0], second - expected[1][:, KEPT]))
