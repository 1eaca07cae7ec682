"""The data sets that `--data` can name, and what is known of them before they are opened. No torch.

To add one: write a module like `cifar100`, and name it in `settings.Source` and in the table below.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tune.settings import Source
from tune.training import cifar100, images, synthetic, synthetic_ood
from tune.training.images import Split

CLASSES = 100


@dataclass(frozen=True)
class DataSet:
    """One data set: its size, and how its files are made. Each function takes the folder that `--data-dir` names."""

    train_images: int
    """Images in the training part, equally many in each class."""

    arrow_file: Callable[[Path, Split], Path]
    """Where the Arrow file of a split is, or will be."""

    prepare: Callable[[Path, Split], Path]
    """Makes that file if it is missing or damaged. ValueError or OSError if that fails."""

    still_to_do: Callable[[Path, Split], str]
    """How `prepare` will make a file that is missing, in words."""

    ood_folder: Callable[[Path], Path]
    """The folder of out-of-distribution files that go with it. OSError if it has to be made and cannot be.

    For CIFAR-100 it is `data/ood-test` whatever `--data-dir` says: that is the documented default of `--ood-dir`.
    """


DATA_SETS: dict[Source, DataSet] = {
    "cifar100": DataSet(
        cifar100.TRAIN_IMAGES, cifar100.arrow_file, cifar100.prepare, cifar100.still_to_do,
        ood_folder=lambda root: Path("data/ood-test"),
    ),
    "synthetic": DataSet(
        synthetic.TRAIN_IMAGES, synthetic.arrow_file, synthetic.prepare,
        still_to_do=lambda root, split: "it will be drawn", ood_folder=synthetic_ood.prepare,
    ),
}  # fmt: skip


def split_sizes(source: Source, val_fraction: float, train_subset: int | None) -> tuple[int, int]:
    """The numbers of training and validation images. ValueError if the subset does not fit."""
    total = DATA_SETS[source].train_images
    val = CLASSES * held_out(total // CLASSES, val_fraction)
    train = total - val
    if train_subset is None or train < CLASSES:  # with less than one image per class, check_split refuses the split
        return train, val
    check_subset(train_subset, train)
    return train_subset, val


def held_out(images: int, val_fraction: float) -> int:
    """How many of a class's `images` are held out for validation."""
    return round(images * val_fraction)


def check_subset(train_subset: int | None, images: int) -> None:
    """ValueError if `--train-subset` does not fit the `images` that the split leaves to train on."""
    if train_subset is not None and not CLASSES <= train_subset <= images:
        raise ValueError(
            f"--train-subset is {train_subset}; it must lie between {CLASSES} (one image per class) "
            f"and {images}, the training images after the split."
        )


def check_split(val_fraction: float, train: int, val: int) -> None:
    """ValueError if a split of `train` and `val` images is too small to search on."""
    if train < CLASSES:
        raise ValueError(f"--val-fraction {val_fraction} leaves no training image per class; lower it.")
    if not val:
        raise ValueError(f"--val-fraction {val_fraction} leaves no validation image per class; raise it.")


def prepare(source: Source, root: Path, split: Split) -> Path:
    """The Arrow file of one split, made if it is missing or damaged. ValueError if that fails."""
    try:
        return DATA_SETS[source].prepare(root, split)
    except OSError as error:
        raise unusable(root, error.strerror or str(error)) from error


def ood_folder(source: Source, root: Path) -> Path:
    """The out-of-distribution files that `tune.finalize` reads by default. ValueError if they cannot be created."""
    try:
        return DATA_SETS[source].ood_folder(root)
    except OSError as error:
        raise unusable(root, error.strerror or str(error)) from error


def arrow_file(source: Source, root: Path, split: Split) -> Path:
    """Where the Arrow file of one split is, or will be."""
    return DATA_SETS[source].arrow_file(root, split)


def still_to_do(source: Source, root: Path) -> str:
    """How the training part will be prepared, for example `it will be downloaded`; empty if it is ready."""
    return "" if arrow_file(source, root, "train").is_file() else DATA_SETS[source].still_to_do(root, "train")


def fingerprint(source: Source, root: Path) -> str | None:
    """The fingerprint of the training part; None if that is not prepared yet."""
    with suppress(OSError, ValueError):  # missing, or damaged and about to be made again
        return str(images.read_metadata(arrow_file(source, root, "train"))["fingerprint"])
    return None


def unusable(root: Path, why: str) -> ValueError:
    """The error to raise for a folder in which the data cannot be prepared."""
    return ValueError(
        f"The data cannot be prepared in {root.absolute()} ({why}). "
        "Make it a folder that you may write to, with 600 MB free, or choose another --data-dir."
    )
