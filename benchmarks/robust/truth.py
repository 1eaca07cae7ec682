"""The truth that rankings are held against: held-out training images under Hendrycks's corruptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks import cifar100c
from tune.training.images import ImageSet

SHARE = 16
"""Each family and severity sees one image in so many, other ones in turn: more different images for the same time."""


def corrupted_truth(images: ImageSet) -> ImageSet:
    """Family by family, severity by severity, len(images) / SHARE images each. All models are judged by the same."""
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
    """Results in that order, (N,), taken apart: all severities of a family together."""
    return dict(zip(cifar100c.FAMILIES, correct.view(len(cifar100c.FAMILIES), -1), strict=True))
