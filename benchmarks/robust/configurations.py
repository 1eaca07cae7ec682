"""The configurations that are ranked, and the images they learn from and are judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tune.training import data
from tune.training.config import Augmentation, TrainConfig
from tune.training.data import TrainingData
from tune.training.images import ImageSet

SEED = 42
"""Of the draws, the split and the training."""

VAL_FRACTION = 0.2

TRUTH_IMAGES = 2_000
"""From one end of the training side of the split; what is trained on comes from the other."""

AUGMENTATIONS: tuple[Augmentation, ...] = ("none", "crop_flip", "trivialaugment", "augmix")


@dataclass(frozen=True)
class Parts:
    """Three parts of the published training images that share none. The test images stay closed."""

    train: ImageSet
    val: ImageSet
    """10,000, as in a search: what val_acc and val_robust_acc are measured on."""

    truth: ImageSet
    """Neither trained on nor selected by."""


def parts(data_dir: Path, train_images: int = 0) -> Parts:
    """CIFAR-100's training part, split as a search splits it, with so many images to train on."""
    whole: TrainingData = data.load_training(data.prepare("cifar100", data_dir, "train"), VAL_FRACTION, SEED)
    assert whole.val is not None
    side = whole.train  # class by class in turn, so that both of its ends are stratified
    truth = replace(side, index=side.index[-TRUTH_IMAGES:])
    return Parts(replace(side, index=side.index[:-TRUTH_IMAGES][:train_images]), whole.val, truth)


def draws(count: int, epochs: int) -> list[TrainConfig]:
    """The first `count` are the same for any `count`. Each augmentation has its turn, all else is drawn."""
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
