"""Trains the configurations: python -m benchmarks.robust.train --data-dir DIR --models DIR

Writes one model each. It can be interrupted at any time; the same command continues.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.robust.configurations import draws, parts
from tune.training import checkpoint
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.images import ImageSet
from tune.training.loop import fit


def main(arguments: list[str] | None = None) -> int:
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks.robust.train", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="where to write the models")
    parser.add_argument("--configurations", type=int, default=32, metavar="N", help="(default: 32)")
    parser.add_argument("--images", type=int, default=15_000, metavar="N", help="training images (default: 15000)")
    parser.add_argument("--epochs", type=int, default=10, metavar="E", help="for each (default: 10)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # before torch starts threads; see host.at_full_speed
    options.models.mkdir(parents=True, exist_ok=True)
    drawn = draws(options.configurations, options.epochs)
    train(enumerate(drawn), parts(options.data_dir, options.images).train, options.models)
    return 0


def train(configurations: Iterable[tuple[int, TrainConfig]], images: ImageSet, models: Path) -> None:
    """Trains each configuration into NUMBER.pt, skipping existing ones. One that diverges leaves no file."""
    for number, config in configurations:
        path, began = models / f"{number:02}.pt", time.monotonic()
        if path.is_file():
            continue
        *_, last = fit(config, TrainingData(images, None), torch.device("cpu"))
        if not last.diverged:
            checkpoint.save_model(path, last.training, images.class_names)
        print(f"{number}: {config.augmentation}, lr {config.lr:.3f}, {time.monotonic() - began:.0f} s, "
              f"train_acc {last.train_acc:.1f} %", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
