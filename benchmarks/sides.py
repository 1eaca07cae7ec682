"""The two sides of each comparison, one a process: python -m benchmarks.sides NAME {engine,plain} --data-dir DIR

A side prints its result and nothing else. It has a process and a core of its own, so that neither profits from what
the other has set, cached or allocated.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader

import cifar_models
from benchmarks.peers import plain_loop
from tune.training import batches, data, host, sources
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.image_size import preprocessing_of
from tune.training.loop import fit

CPU = torch.device("cpu")
SEED = 0

ACCURACY: dict[str, Any] = {
    "lr": 0.04,
    "batch_size": 32,
    "epochs": 4,
    "nesterov": True,
    "weight_decay": 5e-4,
    "scheduler": "cosine",
    "warmup": 0.1,
    "augmentation": "crop_flip",
}
"""The setting at which both sides must be equally accurate: the reference of the benchmarks' space."""


@dataclass(frozen=True)
class Sizes:
    """The data, and whether sizes are tiny."""

    data_dir: Path
    quick: bool

    def __call__(self, full: int, quick: int) -> int:
        """A number of images or steps: `full`, or `quick` with --quick."""
        return quick if self.quick else full


def config_of(model: str, batch_size: int) -> TrainConfig:
    return TrainConfig(
        model=model,
        lr=0.01,
        batch_size=batch_size,
        epochs=2,
        scheduler="cosine",
        augmentation="standard" if model == "resnet50" else "crop_flip",
    )


def images_of(sizes: Sizes, subset: int | None, seed: int = SEED) -> TrainingData:
    return data.load_training(sources.prepare("cifar100", sizes.data_dir, "train"), 0.2, seed, subset)


def engine_data(sizes: Sizes, batch_size: int) -> float:
    """Augmented images per second, from the memory map to the normalised batch."""
    config, train = config_of("resnet18", batch_size), images_of(sizes, None).train
    draw = partial(batches.shuffled, train, config, preprocessing_of(config), batch_size, torch.Generator())
    with host.at_full_speed():
        next(draw())
        began = time.perf_counter()
        steps = sizes(200_000, 4_000) // batch_size
        seen = sum(len(labels) for _, labels in islice(chain.from_iterable(draw() for _ in repeat(None)), steps))
        return seen / (time.perf_counter() - began)


def plain_data(sizes: Sizes, batch_size: int) -> float:
    """The same with a DataLoader without workers, its fastest setting on one core."""
    loader, _ = plain_loop.make_loaders(config_of("resnet18", batch_size).to_dict(), sizes.data_dir, None, SEED)
    drawn = iter(loader)
    next(drawn)
    began = time.perf_counter()
    seen = sum(len(labels) for _, labels in islice(drawn, sizes(12_800, 640) // batch_size))
    return seen / (time.perf_counter() - began)


def engine_epoch(sizes: Sizes) -> float:
    """Seconds of SimpleCNN's first epoch at batch 128, validation included."""
    return next(fit(config_of("simple_cnn", 128), images_of(sizes, sizes(40_000, 500)), CPU)).wall_s


def plain_epoch(sizes: Sizes, bf16: bool = False) -> float:
    config = config_of("simple_cnn", 128).to_dict()
    train_loader, val_loader = plain_loop.make_loaders(config, sizes.data_dir, sizes(40_000, 500), SEED)
    model = plain_loop.SimpleCNN()
    train = plain_trainer(model, config, len(train_loader), bf16)
    began = time.perf_counter()
    train(train_loader)
    plain_loop.validate(model, val_loader, CPU, bf16)
    return time.perf_counter() - began


def engine_step(sizes: Sizes, model: str, batch_size: int, steps: int) -> float:
    """Training images per second, after as many steps of warm-up."""
    batch_size, steps = sizes(batch_size, 4), sizes(steps, 1)
    train = images_of(sizes, None).train.select(torch.arange(batch_size * steps))
    epochs = fit(config_of(model, batch_size), TrainingData(train, None), CPU)
    next(epochs)
    return next(epochs).images_per_s


def plain_step(sizes: Sizes, model: str, batch_size: int, steps: int, bf16: bool = False) -> float:
    batch_size, steps = sizes(batch_size, 4), sizes(steps, 1)
    config = config_of(model, batch_size).to_dict()
    network = plain_loop.SimpleCNN() if model == "simple_cnn" else cifar_models.load(model).build(None)
    loader, _ = plain_loop.make_loaders(config, sizes.data_dir, batch_size * steps, SEED)
    train = plain_trainer(network, config, len(loader), bf16)
    train(loader)
    began = time.perf_counter()
    train(loader)
    return batch_size * steps / (time.perf_counter() - began)


def plain_trainer(
    model: nn.Module, config: dict[str, Any], steps: int, bf16: bool
) -> Callable[[DataLoader[Any]], float]:
    """A function that trains one epoch of the plain loop; with `bf16` also in channels-last memory."""
    if bf16:
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
    schedule = plain_loop.make_schedule(optimizer, config, steps)
    criterion = nn.CrossEntropyLoss()
    return lambda loader: plain_loop.train_one_epoch(model, loader, criterion, optimizer, schedule, None, CPU, bf16)


def engine_accuracy(sizes: Sizes, seed: int) -> float:
    """Validation accuracy (%) of SimpleCNN trained on 10,000 images."""
    config = TrainConfig.from_dict({**ACCURACY, "model": "simple_cnn", "seed": seed})
    *_, last = fit(config, images_of(sizes, sizes(10_000, 500), seed), CPU)
    assert last.val_acc is not None
    return last.val_acc


def plain_accuracy(sizes: Sizes, seed: int) -> float:
    *_, last = plain_loop.epochs(ACCURACY, sizes.data_dir, sizes(10_000, 500), seed)
    return last["val_acc"]


Side = Callable[..., float]


@dataclass(frozen=True)
class Comparison:
    """One row of the table."""

    what: str
    unit: Literal["images/s", "s", "%"]
    engine: Side
    plain: Side
    goal: float | None = None
    """The speed-up to reach; where the unit is %, by how many points the engine may be worse."""


def _steps(
    what: str, model: str, batch_size: int, steps: int, goal: float | None = None, bf16: bool = False
) -> Comparison:
    given: dict[str, Any] = {"model": model, "batch_size": batch_size, "steps": steps}
    return Comparison(what, "images/s", partial(engine_step, **given), partial(plain_step, **given, bf16=bf16), goal)


COMPARISONS: dict[str, Comparison] = {
    "data-128": Comparison(
        "data path, crop and flip, batch 128", "images/s",
        partial(engine_data, batch_size=128), partial(plain_data, batch_size=128), goal=8,
    ),
    "data-8": Comparison(
        "data path, crop and flip, batch 8", "images/s",
        partial(engine_data, batch_size=8), partial(plain_data, batch_size=8), goal=4,
    ),
    "epoch": Comparison(
        "SimpleCNN, an epoch of 40,000 and its validation, batch 128", "s", engine_epoch, plain_epoch, goal=2.7
    ),
    "epoch-bf16": Comparison(
        "SimpleCNN, the same epoch; plain in bf16 and channels-last too", "s", engine_epoch,
        partial(plain_epoch, bf16=True),
    ),
    "simple_cnn-8": _steps("SimpleCNN, training, batch 8", "simple_cnn", 8, 600),
    "resnet18": _steps("ResNet-18, training, batch 128", "resnet18", 128, 2, goal=3),
    "resnet18-bf16": _steps(
        "ResNet-18, training, batch 128; plain in bf16 and channels-last too", "resnet18", 128, 2, bf16=True
    ),
    "resnet50": _steps("ResNet-50 at 224 px, training, batch 16", "resnet50", 16, 1),
    "accuracy": Comparison(
        "SimpleCNN's validation accuracy, 10,000 images, 4 epochs", "%",
        engine_accuracy, plain_accuracy, goal=0.5,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=COMPARISONS)
    parser.add_argument("side", choices=("engine", "plain"))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, help="for a comparison of accuracies")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    side = getattr(COMPARISONS[options.name], options.side)
    if options.seed is not None:
        side = partial(side, seed=options.seed)
    print(side(Sizes(options.data_dir, options.quick)))


if __name__ == "__main__":
    main()
