"""Golden losses: what ten seeded steps of each architecture lose, which a refactor must reproduce.

To record them anew, where training is meant to change: `python -m tests.training.golden`, and say why in the commit.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

import cifar_models
from tests.training.trainings import CPU
from tune.training import loop
from tune.training.config import TrainConfig
from tune.training.data import TrainingData
from tune.training.images import ImageSet
from tune.training.model import build_model

FILE = Path(__file__).parent / "golden_losses.json"
STEPS = 10

GENTLE: dict[str, dict[str, Any]] = {
    "resnet18": {"lr": 1e-3, "batch_size": 8},
    "resnet50": {"lr": 1e-5, "batch_size": 8, "image_size": 64},
}
"""What keeps ten steps of a ResNet within seconds, and a difference in the last digit from growing with each."""

EVERYTHING: dict[str, Any] = {
    "model": "simple_cnn", "augmentation": "randaugment", "random_erasing": 0.3, "label_smoothing": 0.1, "mixup": 0.4,
    "cutmix": 1.0, "dropout": 0.3, "nesterov": True, "weight_decay": 1e-3,
}  # fmt: skip

CASES: dict[str, dict[str, Any]] = {
    **{name: {"model": name, **GENTLE.get(name, {})} for name in cifar_models.NAMES},
    "simple_cnn, all that is random": EVERYTHING,
}


def losses(case: str) -> list[float]:
    """The loss of each of the first ten steps on images of noise; the network computes in float64.

    In float32 two processors, which add up in another order, would part within two steps of ResNet-50.
    """
    config = TrainConfig.from_dict({"lr": 0.02, "batch_size": 32, "epochs": 2, **CASES[case]})
    count = STEPS * config.batch_size
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 100, (count,), generator=generator)
    images = ImageSet(pixels, labels, torch.arange(count), ("a",) * 100, "")
    with patch.object(loop, "mixed_precision", lambda _: nullcontext()), patch.object(loop, "build_model", in_double):
        result = next(loop.fit(config, TrainingData(images, None), CPU))
    assert len(result.batch_loss) == STEPS
    return list(result.batch_loss)


def in_double(*arguments: Any) -> nn.Module:
    """`build_model`, with weights in float64, and inputs rounded, so that they are the same everywhere."""
    model = build_model(*arguments).double()
    model.register_forward_pre_hook(lambda _, inputs: ((inputs[0].double() * 1024).round() / 1024,))
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    recorded = {case: [round(loss, 6) for loss in losses(case)] for case in CASES}
    lines = [f"  {json.dumps(case)}: {json.dumps(recorded[case])}" for case in recorded]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
