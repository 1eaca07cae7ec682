"""The configurations to rank, and the images to train, validate and rank them on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tune.training import data, sources
from tune.training.config import Augmentation, TrainConfig
from tune.training.data import TrainingData
from tune.training.images import ImageSet

SEED = 42
"""Seeds the draws, the split and the trainings."""

VAL_FRACTION = 0.2

TRUTH_IMAGES = 10_000
"""Taken from one end of the training part of the split; training images come from the other end."""

AUGMENTATIONS: tuple[Augmentation, ...] = ("none", "crop_flip", "trivialaugment", "augmix")


@dataclass(frozen=True)
class Parts:
    """Three disjoint parts of the published training images. The test images are not opened."""

    train: ImageSet
    val: ImageSet
    """10,000 as in a search, for val_acc and val_robust_acc."""

    truth: ImageSet
    """Used neither for training nor for selection."""


def parts(data_dir: Path, train_images: int = 0) -> Parts:
    """CIFAR-100's training part, split as in a search, with `train_images` to train on."""
    whole: TrainingData = data.load_training(sources.prepare("cifar100", data_dir, "train"), VAL_FRACTION, SEED)
    assert whole.val is not None
    side = whole.train  # cycles through the classes, so both ends are stratified
    truth = replace(side, index=side.index[-TRUTH_IMAGES:])
    return Parts(replace(side, index=side.index[:-TRUTH_IMAGES][:train_images]), whole.val, truth)


def draws(count: int, epochs: int) -> list[TrainConfig]:
    """`count` configurations, the first of which do not depend on it. Augmentations alternate; the rest is drawn."""
    return [_draw(number, epochs) for number in range(count)]


def _draw(number: int, epochs: int) -> TrainConfig:
    rng = np.random.default_rng([SEED, number])

    def off_or(value: float, share: float = 0.25) -> float:
        return value if rng.random() < share else 0.0

    return TrainConfig(
        model="simple_cnn",
        lr=float(np.exp(rng.uniform(np.log(0.01), np.log(0.06)))),
        batch_size=32,
        epochs=epochs,
        nesterov=True,
        weight_decay=float(rng.choice([0.0, 1e-4, 5e-4, 2e-3])),
        scheduler="one_cycle" if rng.random() < 0.5 else "cosine",
        augmentation=AUGMENTATIONS[number % len(AUGMENTATIONS)],
        distortion=float(rng.choice([0.0, 0.0, 0.25, 0.5])),
        random_erasing=off_or(0.25),
        label_smoothing=off_or(0.1, 0.5),
        mixup=off_or(0.2),
        cutmix=off_or(1.0, 0.125),
        dropout=float(rng.choice([0.0, 0.2])),
        seed=SEED,
    )
