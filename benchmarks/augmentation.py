"""The cost of augmentations and training options, and their effect on a short training on one core.

    python -m benchmarks.augmentation speed --data-dir DIR
    python -m benchmarks.augmentation accuracy --data-dir DIR --seeds 2

Times are CPU times of the process, the best of several turns, so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tune.training import batches, data, evaluate, host, sources
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.image_size import preprocessing_of
from tune.training.loop import fit

CPU = torch.device("cpu")
TURNS = 3

AUGMENTED: dict[str, dict[str, Any]] = {
    "none": {"augmentation": "none"},
    "crop_flip": {},
    "trivialaugment": {"augmentation": "trivialaugment"},
    "randaugment": {"augmentation": "randaugment"},
    "distortion": {"distortion": 0.5},
    "augmix": {"augmentation": "augmix"},
    "augmix and jsd": {"augmentation": "augmix", "jsd": 12.0},
}
STEPS = {
    "crop_flip": {},
    "ema": {"ema": 0.999},
    "augmix": AUGMENTED["augmix"],
    "augmix and jsd": AUGMENTED["augmix and jsd"],
}
REFERENCE: dict[str, Any] = {
    "model": "simple_cnn", "lr": 0.04, "batch_size": 32, "epochs": 10, "nesterov": True, "weight_decay": 5e-4,
    "scheduler": "cosine", "warmup": 0.1, "augmentation": "crop_flip", "ema": 0.999,
}  # fmt: skip


def images_per_s(train: TrainingData, changes: dict[str, Any], batch_size: int, images: int) -> float:
    """Augmented images per second of CPU time, from the memory map to the normalised batch."""
    config = TrainConfig.from_dict(REFERENCE | {"batch_size": batch_size} | changes)
    drawn = batches.shuffled(train.train, config, preprocessing_of(config), batch_size, torch.Generator())
    with host.at_full_speed():
        next(drawn)
        began = time.process_time()
        seen = sum(len(labels) for _, labels in islice(drawn, max(1, images // batch_size)))
        return seen / (time.process_time() - began)


def step_ms(train: TrainingData, changes: dict[str, Any], batch_size: int, steps: int) -> float:
    """CPU milliseconds per training step of SimpleCNN, including the preparation of its batch."""
    config = TrainConfig.from_dict(REFERENCE | {"batch_size": batch_size, "ema": 0.0} | changes)
    epochs = fit(config, TrainingData(train.train.select(torch.arange(batch_size * steps)), None), CPU)
    next(epochs)
    began = time.process_time()
    next(epochs)
    return 1000 * (time.process_time() - began) / steps


def degraded(pixels: Tensor, how: str) -> Tensor:
    """Corrupts images in ways that training never does: uint8 (n, 32, 32, 3) -> same."""
    image = pixels.float()
    if how == "gaussian noise":
        image = image + 20 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    elif how == "pixelate":
        image = image.view(-1, 16, 2, 16, 2, 3).mean((2, 4)).repeat_interleave(2, 1).repeat_interleave(2, 2)
    elif how == "motion blur":
        image = torch.stack([image.roll(shift, 2) for shift in range(-2, 3)]).mean(0)
    return image.round().clamp(0, 255).to(torch.uint8)


def accuracies(images: TrainingData, changes: dict[str, Any], seed: int) -> dict[str, float]:
    """Accuracies (%) on clean and corrupted validation images, after SimpleCNN's reference, changed, for 10 epochs."""
    *_, last = fit(TrainConfig.from_dict(REFERENCE | {"seed": seed} | changes), images, CPU)
    assert images.val is not None
    pixels, labels = images.val.pixels[images.val.index], images.val.labels[images.val.index]
    found = {"training": last.train_acc}
    for of, model in (("", last.training.model), (", averaged", last.training.eval_model)):
        model.eval()
        for how in ("clean", "gaussian noise", "pixelate", "motion blur"):
            parts = torch.split(degraded(pixels, how), 64)
            guess = torch.cat([evaluate.logits(model, part, last.training.preprocessing).argmax(1) for part in parts])
            found[how + of] = 100 * (guess == labels).double().mean().item()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "accuracy"])
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    arrow = sources.prepare("cifar100", options.data_dir, "train")
    if options.what == "accuracy":
        for seed in range(options.seeds):
            images = data.load_training(arrow, 0.2, seed, 10_000)
            assert images.val is not None
            images = TrainingData(images.train, images.val.select(torch.arange(4_000)))
            for name, changes in AUGMENTED.items():
                print(json.dumps({"name": name, "seed": seed} | accuracies(images, changes, seed)), flush=True)
        return
    images = data.load_training(arrow, 0.2, 0)
    for batch_size in (8, 128):
        for name, changes in AUGMENTED.items():
            best = max(images_per_s(images, changes, batch_size, 2_000) for _ in range(TURNS))
            print(f"batch {batch_size}, {name}: {best:,.0f} images/s")
        for name, changes in STEPS.items():
            best = min(step_ms(images, changes, batch_size, 15) for _ in range(TURNS))
            print(f"batch {batch_size}, a step with {name}: {best:.2f} ms")


if __name__ == "__main__":
    main()
