"""Facts about the data sets that need neither data nor torch: sizes, splits, and whether they are prepared."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tune.settings import Source
from tune.training import cifar100, images, synthetic

CLASSES = 100

TRAIN_IMAGES: dict[Source, int] = {"cifar100": cifar100.TRAIN_IMAGES, "synthetic": synthetic.TRAIN_IMAGES}
"""Images in the training part of each data set, equally many in each class."""


def split_sizes(source: Source, val_fraction: float, train_subset: int | None) -> tuple[int, int]:
    """Numbers of images to train and to validate on. ValueError if the subset does not fit."""
    images = TRAIN_IMAGES[source]
    val = CLASSES * held_out(images // CLASSES, val_fraction)
    check_subset(train_subset, images - val)
    return train_subset or images - val, val


def held_out(images: int, val_fraction: float) -> int:
    """How many of a class's `images` are held out for validation."""
    return round(images * val_fraction)


def check_subset(train_subset: int | None, images: int) -> None:
    """ValueError if `--train-subset` does not fit the `images` that the split leaves to train on."""
    if train_subset is not None and not CLASSES <= train_subset <= images:
        raise ValueError(
            f"--train-subset is {train_subset}; it must lie between {CLASSES} (an image a class) "
            f"and {images}, the training images after the split."
        )


def check_split(val_fraction: float, train: int, val: int) -> None:
    """ValueError if a split of `train` and `val` images is too small to search on."""
    if train < CLASSES:
        raise ValueError(f"--val-fraction {val_fraction:g} leaves no image a class to train on; lower it.")
    if not val:
        raise ValueError(f"--val-fraction {val_fraction:g} leaves no image a class to validate on; raise it.")


def still_to_do(source: Source, root: Path) -> str:
    """How the training part will be prepared, for example `it will be downloaded`; empty if it is ready."""
    if source == "synthetic":
        return "" if synthetic.arrow_file(root, "train").is_file() else "it will be drawn"
    return "" if cifar100.arrow_file(root, "train").is_file() else cifar100.still_to_do(root, "train")


def fingerprint(source: Source, root: Path) -> str | None:
    """The fingerprint of the training part; None if that is not prepared yet."""
    arrow = (synthetic if source == "synthetic" else cifar100).arrow_file(root, "train")
    with suppress(OSError, ValueError):  # not there, or damaged and to be made anew
        return str(images.read_metadata(arrow)["fingerprint"])
    return None


def unusable(root: Path, why: str) -> ValueError:
    """The error for a folder in which the data cannot be prepared."""
    return ValueError(
        f"The data can not be prepared in {root.absolute()} ({why}). "
        "Make it a folder that you may write to, with 600 MB free, or choose another --data-dir."
    )
