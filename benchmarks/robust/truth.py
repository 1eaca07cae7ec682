"""The ground truth for rankings: held-out training images under Hendrycks's corruptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks import cifar100c
from tune.training.images import ImageSet

SHARE = 16
"""Each family and severity uses one image in 16, and the next uses others: more variety in the same time."""


def corrupted_truth(images: ImageSet) -> ImageSet:
    """By family and severity, len(images) / SHARE images each. They are the same for all models."""
    pixels, labels = images.pixels[images.index].numpy(), images.labels[images.index]
    seen: list[Tensor] = []
    done = []
    for name in cifar100c.FAMILIES:
        for severity in range(1, cifar100c.SEVERITIES + 1):
            rows = np.arange(len(seen) % SHARE, len(pixels), SHARE)
            done.append(cifar100c.corrupted(name, severity, pixels[rows]))
            seen.append(labels[rows])
    joined = torch.from_numpy(np.concatenate(done))
    return replace(images, pixels=joined, labels=torch.cat(seen), index=torch.arange(len(joined)))


def of_each_family(correct: Tensor) -> dict[str, Tensor]:
    """Splits results in that order, (N,), by family, all severities together."""
    return dict(zip(cifar100c.FAMILIES, correct.view(len(cifar100c.FAMILIES), -1), strict=True))
