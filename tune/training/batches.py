"""The shuffled, augmented batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from cifar_models import Preprocessing
from tune.training import augment
from tune.training.config import TrainConfig
from tune.training.evaluate import batch_size_at
from tune.training.images import ImageSet


def shuffled(
    data: ImageSet, config: TrainConfig, preprocessing: Preprocessing, batch_size: int, generator: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields images float32 (B, 3, S, S), channels last, and labels int64 (B,); an incomplete last batch is dropped.

    With several views, images are (B, V, 3, S, S), as `augment.training_batch` returns them. Small batches are
    augmented several at a time, since at batch size 8 the calls cost more than the arithmetic. Each image still has its
    own random transform.
    """
    steps, device = len(data) // batch_size, data.pixels.device
    order = data.index[torch.randperm(len(data), generator=generator, device=device)][: steps * batch_size]
    at_once = max(1, batch_size_at(preprocessing.image_size, device) // batch_size)
    for rows in torch.split(order, at_once * batch_size):
        images = augment.training_batch(data.pixels[rows], config, preprocessing, generator)
        yield from zip(torch.split(images, batch_size), torch.split(data.labels[rows], batch_size), strict=True)
