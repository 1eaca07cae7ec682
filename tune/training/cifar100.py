"""CIFAR-100 (Krizhevsky 2009): downloads the published pickles and converts them to Arrow files that trials share."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tune.files import atomic_path
from tune.training import images
from tune.training.download import DownloadFailed, fetch
from tune.training.images import Split

# The same values as in torchvision, which a test compares: importing it would cost each trial a second.
ARCHIVE, ARCHIVE_MD5 = "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
FOLDER = "cifar-100-python"
TRAIN_IMAGES = 50_000
MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}


def arrow_file(root: Path, split: Split) -> Path:
    """Where `prepare` writes a split."""
    return root / "arrow" / f"cifar100-{split}.arrow"


def prepare(root: Path, split: Split) -> Path:
    """The Arrow file of one split, for `images.read`.

    A missing one is made from `root/cifar-100-python/`, and what is missing there is downloaded.
    ValueError if a file is damaged or cannot be downloaded, OSError if `root` cannot be written to.
    """
    arrow = arrow_file(root, split)
    if arrow.is_file():
        with suppress(ValueError):  # it is damaged, and made again below
            images.read_metadata(arrow)
            return arrow
    _convert(root, split, arrow)
    return arrow


def _convert(root: Path, split: Split, arrow: Path) -> None:
    folder = root / FOLDER
    if not _unpacked(root, split):
        _unpack_missing(root)
    names, content = _unpickle(folder / "meta"), _unpickle(folder / split)
    # Each row of the pickle is one image: its red plane, then green, then blue.
    pixels = content["data"].reshape(-1, 3, images.SIDE, images.SIDE).transpose(0, 2, 3, 1)
    about = {
        "class_names": names["fine_label_names"],
        "coarse_label_names": names["coarse_label_names"],
        "source": "CIFAR-100",
        "md5": {name: MD5[name] for name in (split, "meta")},
    }
    images.write(arrow, pixels, np.asarray(content["fine_labels"]), about)


def still_to_do(root: Path, split: Split) -> str:
    """How `prepare` will make a split whose Arrow file does not exist yet, in words."""
    if _unpacked(root, split):
        return "it will be made from the files there"
    return "it will be unpacked from the archive there" if (root / ARCHIVE).exists() else "it will be downloaded"


def _unpacked(root: Path, split: Split) -> bool:
    # The other split does not matter: it is not opened, and may be missing or damaged.
    return all((root / FOLDER / name).exists() for name in (split, "meta"))


def _unpickle(path: Path) -> Any:
    """Loads the file if it is the published one. A pickle can run code, so nothing else is ever loaded."""
    raw = path.read_bytes()
    _check(path, hashlib.md5(raw, usedforsecurity=False).hexdigest(), MD5[path.name])
    return pickle.loads(raw, encoding="latin1")


def _check(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(
            f"{path.absolute()} is not the published file: its MD5 is {found}, not {expected}. "
            "Delete it, and the next start downloads it again."
        )


def _unpack_missing(root: Path) -> None:
    """Unpacks the files that `root/cifar-100-python/` lacks from the archive; existing files are left alone."""
    archive, folder = root / ARCHIVE, root / FOLDER
    try:
        if not archive.exists():
            fetch(URL, archive, "md5", ARCHIVE_MD5)
    except DownloadFailed as error:
        raise ValueError(
            f"{error}, and {folder.absolute()} lacks files. Put {archive.name}'s files {', '.join(MD5)} there "
            "(or the archive itself beside that folder), or choose another --data-dir, or --data synthetic "
            "(docs/data.md)."
        ) from error
    with archive.open("rb") as file:
        _check(archive, hashlib.file_digest(file, "md5").hexdigest(), ARCHIVE_MD5)
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in (name for name in MD5 if not (folder / name).exists()):
            member = tar.extractfile(f"{folder.name}/{name}")
            assert member is not None
            with atomic_path(folder / name) as unfinished, unfinished.open("wb") as sink:
                shutil.copyfileobj(member, sink)
