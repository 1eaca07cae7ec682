"""Which images a run learns from: the source, and the split of its training part."""

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
    """What `fit` learns from and is judged on."""

    train: ImageSet
    val: ImageSet | None
    """None when the final model is trained on everything there is."""

    @cached_property
    def corrupted_val(self) -> ImageSet:
        """The validation images under corruption: made once for all trials of a process, in 2 s on a CPU core."""
        assert self.val is not None
        return corruptions.corrupted(self.val)

    def to(self, device: torch.device) -> TrainingData:
        """The same on `device`. The two sets view one table, which is sent once."""
        if self.train.pixels.device == device:
            return self
        pixels, labels = self.train.pixels.to(device), self.train.labels.to(device)

        def moved(part: ImageSet) -> ImageSet:
            return ImageSet(pixels, labels, part.index.to(device), part.class_names, part.fingerprint)

        return TrainingData(moved(self.train), None if self.val is None else moved(self.val))


def prepare(source: Source, root: Path, split: Split) -> Path:
    """The Arrow file of one part of the data set, made if it is not there. ValueError if it can not be had."""
    try:
        return cifar100.prepare(root, split) if source == "cifar100" else synthetic.prepare(root, split)
    except OSError as error:
        raise sources.unusable(root, str(error)) from error


def load_training(
    path: Path | NDArray[np.uint8], val_fraction: float, seed: int, train_subset: int | None = None
) -> TrainingData:
    """The training part, from its file or the bytes of it, split; `val_fraction` 0 keeps everything for training.

    `train_subset` keeps so many images of the training side, as even over the classes as can be;
    the validation side stays whole, so that accuracies of different subsets compare.
    """
    table = images.read(path)
    train_rows, val_rows = stratified_split(table.labels, val_fraction, seed)
    sources.check_subset(train_subset, len(train_rows))
    train_rows = train_rows[:train_subset]
    val = table.select(val_rows) if len(val_rows) else None
    return TrainingData(table.select(train_rows), val)


def load_test(path: Path) -> ImageSet:
    """The test part. Only `tune.finalize` asks for it, once, when everything has been decided."""
    return images.read(path)


def stratified_split(labels: Tensor, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows (int64) for training and for validation, the same share of each class.

    The training rows come class by class in turn, so that any beginning of them is stratified too.
    """
    rng = np.random.default_rng(seed)
    shuffled = torch.from_numpy(rng.permutation(len(labels)))
    rank = rank_in_class(labels[shuffled])
    count = torch.bincount(labels, minlength=CLASSES).tolist()
    is_val = rank < torch.tensor([sources.held_out(images, val_fraction) for images in count])[labels[shuffled]]
    in_turn = torch.argsort(rank, stable=True)
    return shuffled[in_turn][~is_val[in_turn]], shuffled[in_turn][is_val[in_turn]]


def rank_in_class(labels: Tensor) -> Tensor:
    """For each row, how many rows before it have its label: int64 (N,)."""
    by_class = torch.argsort(labels, stable=True)
    sorted_labels = labels[by_class]
    first = torch.searchsorted(sorted_labels, sorted_labels)
    rank = torch.empty_like(labels)
    rank[by_class] = torch.arange(len(labels)) - first
    return rank
