"""Writes the corrupted images: python -m benchmarks.cifar100c --data-dir DIR --out DIR

One FAMILY.npy each, uint8 (5 n, 32, 32, 3), sorted by severity like the challenge's files, and labels.npy, (n,). For
the 10,000 test images it takes 2.9 GB and four minutes of a CPU core.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.cifar100c import FAMILIES, SEVERITIES, corrupted
from tune.files import atomic_path
from tune.training import data, sources
from tune.training.images import ImageSet


def main(arguments: list[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks.cifar100c", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="holds cifar-100-python/")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    write(data.load_test(sources.prepare("cifar100", options.data_dir, "test")), options.out)
    return 0


def write(images: ImageSet, folder: Path) -> None:
    """Writes each family's file atomically; existing files are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = images.pixels[images.index].numpy()
    _save(folder / "labels.npy", images.labels[images.index].numpy())
    for name in FAMILIES:
        path, began = folder / f"{name}.npy", time.monotonic()
        if not path.is_file():
            _save(path, np.concatenate([corrupted(name, severity, pixels) for severity in range(1, SEVERITIES + 1)]))
            print(f"{path}: {time.monotonic() - began:.0f} s", flush=True)


def _save(path: Path, array: np.typing.NDArray[np.integer]) -> None:
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array)


if __name__ == "__main__":
    sys.exit(main())
