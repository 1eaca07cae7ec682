"""Loads a run's images, and splits its training part into training and validation images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune.training import corruptions, images, sources
from tune.training.images import ImageSet
from tune.training.sources import CLASSES


@dataclass(frozen=True)
class TrainingData:
    """The images that `fit` trains and validates on."""

    train: ImageSet
    val: ImageSet | None
    """None if the final model is trained on all labelled images."""

    @cached_property
    def corrupted_val(self) -> ImageSet:
        """The validation images under corruption. Made on first use, which takes a CPU core 2 s, and kept."""
        assert self.val is not None
        return corruptions.corrupted(self.val)

    def to(self, device: torch.device) -> TrainingData:
        """The same data on `device`. Both sets view one table, so it is copied only once."""
        pixels, labels = self.train.pixels.to(device), self.train.labels.to(device)
        if pixels is self.train.pixels:  # already there; "cuda" and "cuda:0" would not compare as equal
            return self

        def moved(part: ImageSet) -> ImageSet:
            return ImageSet(pixels, labels, part.index.to(device), part.class_names, part.fingerprint)

        return TrainingData(moved(self.train), None if self.val is None else moved(self.val))


def load_training(
    arrow: Path | NDArray[np.uint8], val_fraction: float, seed: int, train_subset: int | None = None
) -> TrainingData:
    """Reads the training part from its Arrow file, or from the file's bytes, and splits it.

    `val_fraction` 0 holds out no validation images. `train_subset` keeps that many training images, spread as evenly
    over the classes as possible. It does not touch the validation images, so accuracies with different subsets can be
    compared. ValueError if it is too large or too small.
    """
    table = images.read(arrow)
    train_rows, val_rows = stratified_split(table.labels, val_fraction, seed)
    sources.check_subset(train_subset, len(train_rows))
    train_rows = train_rows[:train_subset]
    val = table.select(val_rows) if len(val_rows) else None
    return TrainingData(table.select(train_rows), val)


def load_test(path: Path) -> ImageSet:
    """Reads the test part. Of the commands only `tune.finalize` calls this, once everything has been decided."""
    return images.read(path)


def stratified_split(labels: Tensor, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Shuffled rows for training and for validation, int64 each, with the same share of every class.

    The training rows cycle through the classes, so that their first n are stratified for any n.
    """
    rng = np.random.default_rng(seed)
    shuffled = torch.from_numpy(rng.permutation(len(labels)))
    rank = rank_in_class(labels[shuffled])
    count = torch.bincount(labels, minlength=CLASSES).tolist()
    is_val = rank < torch.tensor([sources.held_out(images, val_fraction) for images in count])[labels[shuffled]]
    in_turn = torch.argsort(rank, stable=True)
    return shuffled[in_turn][~is_val[in_turn]], shuffled[in_turn][is_val[in_turn]]


def rank_in_class(labels: Tensor) -> Tensor:
    """For each row, the number of earlier rows with the same label: int64 (N,)."""
    by_class = torch.argsort(labels, stable=True)
    sorted_labels = labels[by_class]
    first = torch.searchsorted(sorted_labels, sorted_labels)
    rank = torch.empty_like(labels)
    rank[by_class] = torch.arange(len(labels)) - first
    return rank
