"""Loads the images of a run, and splits its training part into images for training and for validation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune.settings import Source
from tune.training import cifar100, corruptions, images, sources, synthetic
from tune.training.images import ImageSet
from tune.training.sources import CLASSES

Split = Literal["train", "test"]


@dataclass(frozen=True)
class TrainingData:
    """The images that `fit` trains and validates on."""

    train: ImageSet
    val: ImageSet | None
    """None if the final model is trained on all labelled images."""

    @cached_property
    def corrupted_val(self) -> ImageSet:
        """The corrupted validation images, made once per process, in 2 s on a CPU core."""
        assert self.val is not None
        return corruptions.corrupted(self.val)

    def to(self, device: torch.device) -> TrainingData:
        """The same on `device`. Both sets view one table, which is copied once."""
        if self.train.pixels.device == device:
            return self
        pixels, labels = self.train.pixels.to(device), self.train.labels.to(device)

        def moved(part: ImageSet) -> ImageSet:
            return ImageSet(pixels, labels, part.index.to(device), part.class_names, part.fingerprint)

        return TrainingData(moved(self.train), None if self.val is None else moved(self.val))


def prepare(source: Source, root: Path, split: Split) -> Path:
    """The Arrow file of one split, made if it is missing. ValueError if that fails."""
    try:
        return cifar100.prepare(root, split) if source == "cifar100" else synthetic.prepare(root, split)
    except OSError as error:
        raise sources.unusable(root, str(error)) from error


def load_training(
    path: Path | NDArray[np.uint8], val_fraction: float, seed: int, train_subset: int | None = None
) -> TrainingData:
    """Reads the training part from its file or the file's bytes, and splits it; `val_fraction` 0 leaves no validation.

    `train_subset` keeps that many training images, as evenly over the classes as possible. It leaves the validation
    images alone, so that accuracies of different subsets compare. ValueError if it is too large or too small.
    """
    table = images.read(path)
    train_rows, val_rows = stratified_split(table.labels, val_fraction, seed)
    sources.check_subset(train_subset, len(train_rows))
    train_rows = train_rows[:train_subset]
    val = table.select(val_rows) if len(val_rows) else None
    return TrainingData(table.select(train_rows), val)


def load_test(path: Path) -> ImageSet:
    """Reads the test part. Only `tune.finalize` calls this, once everything has been decided."""
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
